#pragma once

#include <atomic>
#include <chrono>
#include <memory>

#include "knap/base/result.hpp"

namespace knap {

using SteadyClock = std::chrono::steady_clock;

/// A point in steady time after which work is worthless. Passed by value through every wait, stage
/// and child.
class Deadline {
 public:
  static Deadline never() { return Deadline(SteadyClock::time_point::max()); }
  static Deadline after(SteadyClock::duration duration) {
    return Deadline(SteadyClock::now() + duration);
  }
  static Deadline at(SteadyClock::time_point point) { return Deadline(point); }

  bool expired() const {
    return point_ != SteadyClock::time_point::max() && SteadyClock::now() >= point_;
  }
  bool is_never() const { return point_ == SteadyClock::time_point::max(); }
  SteadyClock::time_point point() const { return point_; }

  /// Time left; zero when expired, a year when never.
  SteadyClock::duration remaining() const {
    if (is_never()) return std::chrono::hours(24 * 365);
    const auto left = point_ - SteadyClock::now();
    return left > SteadyClock::duration::zero() ? left : SteadyClock::duration::zero();
  }
  std::chrono::milliseconds remaining_ms() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(remaining());
  }
  Deadline earlier(Deadline other) const { return other.point_ < point_ ? other : *this; }

 private:
  explicit Deadline(SteadyClock::time_point point) : point_(point) {}
  SteadyClock::time_point point_;
};

/// Lets one side ask the other to stop: set once, seen by all copies. Safe from any thread.
class CancelToken {
 public:
  CancelToken() : flag_(std::make_shared<std::atomic<bool>>(false)) {}
  void cancel() const { flag_->store(true, std::memory_order_release); }
  bool cancelled() const { return flag_->load(std::memory_order_acquire); }

 private:
  std::shared_ptr<std::atomic<bool>> flag_;
};

/// kCancelled or kDeadlineExceeded when the work should stop, else success.
inline Status still_wanted(const CancelToken& cancel, Deadline deadline) {
  if (cancel.cancelled()) return make_error(ErrorCode::kCancelled, "the caller has gone");
  if (deadline.expired())
    return make_error(ErrorCode::kDeadlineExceeded, "the deadline has passed");
  return {};
}

}  // namespace knap
