#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "knap/observe/metrics.hpp"

namespace knap::service {

/// Who asks for compute. Earlier ones go first.
enum class Lane { kInteractive, kGeneration, kBackground };

/// Also the metrics label.
constexpr std::string_view to_string(Lane lane) {
  switch (lane) {
    case Lane::kInteractive: return "interactive";
    case Lane::kGeneration: return "generation";
    case Lane::kBackground: return "background";
  }
  return "background";
}

class ComputeLeases;

/// Threads held; given back on destruction. Move only.
class Lease {
 public:
  Lease() = default;
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&& other) noexcept;
  ~Lease();
  std::size_t threads() const { return threads_; }

 private:
  friend class ComputeLeases;
  Lease(ComputeLeases* owner, Lane lane, std::size_t threads)
      : owner_(owner), lane_(lane), threads_(threads) {}
  ComputeLeases* owner_ = nullptr;
  Lane lane_ = Lane::kBackground;
  std::size_t threads_ = 0;
};

/// The one place that hands out compute threads to embedding, generation and heavy search work, so
/// that their sum stays at the cores (ggml's barriers spin: oversubscription makes everything ten
/// times slower, docs/Models.md).
///
/// Interactive work (the few milliseconds of a query's embedding) never waits: it takes its threads
/// at once, over the cores if need be, because it ends sooner than any other could yield.
/// Generation waits for other generation, unless both name the same group: answers of one model are
/// computed together, step by step, by the same threads, which count once. Background work gets
/// threads only while nobody above waits or works, and asks should_yield() between short steps.
/// Threads: safe. Must outlive its leases.
class ComputeLeases {
 public:
  /// @param metrics  of the waits, when given; must outlive this
  explicit ComputeLeases(std::size_t cores, observe::Registry* metrics = nullptr);
  ~ComputeLeases();

  /// Errors: kDeadlineExceeded, kCancelled. Returns at least 1 thread, at most `wanted`.
  /// @param group  kGeneration only: who computes with the same threads, e.g. the model's name.
  ///               Empty: nobody else. While another group waits, nobody joins: it would never end.
  Result<Lease> acquire(Lane lane, std::size_t wanted, Deadline deadline, const CancelToken& cancel,
                        std::string_view group = {});
  /// True when a holder in this lane should give its lease back at the next step boundary.
  bool should_yield(Lane lane) const;

  struct Usage {
    std::size_t cores = 0, interactive = 0, generation = 0, background = 0, waiting = 0;
  };
  Usage usage() const;
  /// Brings the gauges of the registry up to date: for observe::Sampler.
  void refresh_metrics() const;

 private:
  friend class Lease;
  void release(Lane lane, std::size_t threads);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knap::service
