#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/mutex.hpp"

namespace knap::observe {

/// What one request did, stage by stage. No text of notes or questions.
struct Trace {
  struct Stage {
    std::string name;
    std::chrono::microseconds begin{}, took{};  ///< `begin` counts from the request's arrival.
    std::string detail;                         ///< E.g. the model; mostly empty.
  };
  static constexpr std::size_t kStagesMax = 64;  ///< Later ones are left out.

  std::string request_id, route, level;
  std::string parent;  ///< The caller's W3C `traceparent`, as sent; may be anything.
  int status = 0;
  std::int64_t received_unix_ms = 0;
  SteadyClock::time_point received{};
  std::chrono::microseconds took{};
  std::vector<Stage> stages;
};

/// The trace of the request that this thread works for; null: none.
Trace* current_trace();

/// Makes a trace the current one of its thread for its life.
class TraceScope {
 public:
  explicit TraceScope(Trace& trace);
  ~TraceScope();
  TraceScope(const TraceScope&) = delete;
  TraceScope& operator=(const TraceScope&) = delete;

 private:
  Trace* before_;
};

/// Adds a stage to the current trace, if there is one.
void trace_stage(std::string_view name, SteadyClock::time_point begin, SteadyClock::duration took,
                 std::string_view detail = {});

/// Keeps the slow ones of the last requests.
/// Threads: safe. At most `size` traces: the oldest go.
class TraceRing {
 public:
  explicit TraceRing(std::size_t size = 200) : size_(size) {}
  void add(Trace trace) KNAP_EXCLUDES(mutex_);
  std::vector<Trace> latest(std::size_t limit) const KNAP_EXCLUDES(mutex_);  ///< Newest first.

 private:
  const std::size_t size_;
  mutable Mutex mutex_;
  std::deque<Trace> traces_ KNAP_GUARDED_BY(mutex_);
};

}  // namespace knap::observe
