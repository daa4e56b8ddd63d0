#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "knap/base/thread_pool.hpp"

namespace knap::models::runner {

/// At kLow a thread gets a tenth of what another on the same core gets.
enum class Pace { kUsual, kLow };

/// Runs step(0) to step(count - 1), each once, on as many of a pool's threads as are free, at most
/// `threads`; returns when all have ended. After a step that fails no other begins. A pool's
/// threads stay at the low pace once they have worked at it.
/// Errors: the first of a step; kUnavailable when the pool's queue is full.
/// @pre not called from a thread of the pool
Status run_steps(ThreadPool& pool, std::size_t threads, std::size_t count,
                 const std::function<Status(std::size_t)>& step, Pace pace = Pace::kUsual);

/// Threads for steps that nobody waits for.
///
/// They compute in what all other threads leave: whoever has work takes the core from them at once,
/// where a thread of low priority would keep it to the end of its slice. While the others leave
/// nothing, threads of low priority go on in their place, so that the work ends some day.
///
/// Threads: all methods are safe from any thread.
class SpareThreads {
 public:
  /// @param threads of each kind, at least 1
  /// @param queue_limit steps' helpers that may wait, at least 1
  SpareThreads(std::size_t threads, std::size_t queue_limit);

  /// As run_steps, on all threads.
  Status run(std::size_t count, const std::function<Status(std::size_t)>& step);
  /// Whether work goes to the threads of low priority now, because others left nothing.
  bool insists() const;

 private:
  const std::size_t threads_;
  std::atomic<SteadyClock::time_point> insists_until_{};
  ThreadPool spare_, insisting_;
};

}  // namespace knap::models::runner
