#pragma once

#include <memory>

#include "alerting.hpp"
#include "checks.hpp"
#include "knap/cache/layers.hpp"
#include "knap/observe/trace.hpp"
#include "knap/ops/otlp.hpp"

namespace knap::app {

/// What a server needs to be operated: health checks, the watch over memory, figures, slow
/// requests, alerts and traces, wired together. The engine and the cache must outlive it.
struct Operations {
  /// Checks and watches from here on. Errors: kInvalidArgument (a wrong address in the settings).
  /// @param cache  shrinks under pressure; null: there is none
  static Result<std::unique_ptr<Operations>> open(const Config& config, Engine& engine,
                                                  cache::Layers* cache);

  /// Lets the interface ask for memory and tell of its requests.
  void join(api::ApiOptions& options);
  /// Every few seconds, beside the requests.
  void tick();

  std::unique_ptr<ops::HealthMonitor> health;
  std::unique_ptr<ops::MemoryGuard> memory;
  std::unique_ptr<ops::OtlpExporter> otlp;  ///< Null: nobody wants traces.
  std::unique_ptr<ops::Vitals> vitals;
  std::unique_ptr<Alerting> alerting;
  observe::TraceRing slow;
};

}  // namespace knap::app
