#include "knap/observe/trace.hpp"

#include <algorithm>
#include <utility>

namespace knap::observe {
namespace {

thread_local Trace* the_trace = nullptr;

std::chrono::microseconds micros(SteadyClock::duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration);
}

}  // namespace

Trace* current_trace() { return the_trace; }

TraceScope::TraceScope(Trace& trace) : before_(std::exchange(the_trace, &trace)) {}
TraceScope::~TraceScope() { the_trace = before_; }

void trace_stage(std::string_view name, SteadyClock::time_point begin, SteadyClock::duration took,
                 std::string_view detail) {
  Trace* const trace = the_trace;
  if (trace == nullptr || trace->stages.size() >= Trace::kStagesMax) return;
  trace->stages.push_back(
      {std::string(name), micros(begin - trace->received), micros(took), std::string(detail)});
}

void TraceRing::add(Trace trace) {
  const MutexLock lock(mutex_);
  traces_.push_front(std::move(trace));
  while (traces_.size() > size_) traces_.pop_back();
}

std::vector<Trace> TraceRing::latest(std::size_t limit) const {
  const MutexLock lock(mutex_);
  const auto count = static_cast<std::ptrdiff_t>(std::min(limit, traces_.size()));
  return {traces_.begin(), traces_.begin() + count};
}

}  // namespace knap::observe
