#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "knap/answer/answer.hpp"
#include "knap/base/result.hpp"
#include "knap/cache/layers.hpp"
#include "knap/index/service.hpp"
#include "knap/models/models.hpp"
#include "knap/observe/metrics.hpp"
#include "knap/observe/trace.hpp"
#include "knap/ops/alerts.hpp"
#include "knap/ops/health.hpp"
#include "knap/ops/vitals.hpp"
#include "knap/service/leases.hpp"
#include "knap/service/work_pool.hpp"
#include "knap/speech/speech.hpp"
#include "knap/web/import.hpp"

namespace knap::api {

/// An effective setting and where it came from, for /api/config and `knap config`. Secrets are
/// masked by the giver.
struct Setting {
  std::string key, value_json,
      source;  ///< source: "default", "file", "environment", "command line"
};

struct ApiOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8000;
  std::vector<std::string>
      allowed_origins;  ///< Beside app://obsidian.md, capacitor://localhost, http://localhost.
  std::vector<std::string> allowed_hosts;  ///< Beside localhost, 127.0.0.1, [::1].
  std::uint64_t max_body_bytes = 32U << 20;
  std::chrono::milliseconds stop_grace{4'000};
  std::vector<Setting> settings;
  std::uint32_t warm_questions = 0;  ///< Kept warm in the cache, see Warmer.
  std::filesystem::path warm_file;
  bool reworded_answers = false;                  ///< One answer for all wordings of a question.
  std::uint64_t compress_from_bytes = 32U << 10;  ///< Smaller bodies are sent as they are.
  /// Asked before work is taken: true when there is no memory for more. Empty: never.
  std::function<bool()> out_of_memory;
  /// Gets the trace of every request. Empty: nobody.
  std::function<void(const observe::Trace&)> on_trace;
  std::chrono::milliseconds slow_request{500};  ///< From here on a request is kept as slow.
  /// Threads and queues of requests. kOff: all of them, status included, in one queue without
  /// admission, to compare with.
  struct Work {
    service::WorkPool::Levels levels = service::WorkPool::Levels::kOn;
    std::size_t search_threads = 3;  ///< For what computes.
    std::size_t answer_threads = 8;  ///< For what mostly waits for a model.
    std::size_t search_waiting = 256;
    std::size_t answer_waiting = 32;
    service::WorkPool::Pinning pinning = service::WorkPool::Pinning::kOff;  ///< Of searches.
    std::chrono::milliseconds queue_target{100};  ///< See service::AdaptiveLimit.
  } work;
};

/// The parts of the program that routes reach. All must outlive the Api.
struct ApiParts {
  index::Service& index;
  answer::Answerer& answerer;
  models::Models& models;
  service::ComputeLeases& leases;
  observe::Registry& metrics;
  ops::HealthMonitor& health;
  ops::Vitals& vitals;
  ops::Alerts& alerts;
  observe::TraceRing& slow;          ///< Where traces of slow and failed requests go.
  cache::Layers* cache = nullptr;    ///< Null: nothing is kept.
  web::Importer* web = nullptr;      ///< Null: no pages are brought in.
  speech::Speech* speech = nullptr;  ///< Null: recordings are not heard.
};

/// The HTTP interface of api.md. Threads: methods are safe. Destruction stops.
class Api {
 public:
  /// Listens and serves. Errors as http::Server::start; kFailedPrecondition: a wider bind without
  /// authentication.
  static Result<std::unique_ptr<Api>> start(ApiOptions options, ApiParts parts);
  virtual ~Api() = default;
  virtual std::uint16_t port() const = 0;
  virtual void stop() = 0;  ///< Graceful, within stop_grace.
};

/// openapi.yaml as it was at build time, as JSON.
std::string_view openapi_json();

}  // namespace knap::api
