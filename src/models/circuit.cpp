#include "circuit.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace knap::models {

bool Circuit::enter() {
  MutexLock lock(mutex_);
  if (!paused_) return true;
  if (resting() || trying_) return false;
  trying_ = true;
  return true;
}

void Circuit::succeeded() {
  MutexLock lock(mutex_);
  failures_ = openings_ = 0;
  paused_ = trying_ = false;
}

void Circuit::failed() {
  MutexLock lock(mutex_);
  ++failures_;
  const bool tried = std::exchange(trying_, false);
  if (!tried && (paused_ || failures_ < kFailuresToOpen)) return;
  ++openings_;
  paused_ = true;
  if (openings_ >= kOpeningsToQuarantine) {
    until_ = now_() + kQuarantine;
    return;
  }
  auto pause = kFirstPause;
  for (std::uint32_t i = 1; i < openings_; ++i) pause = std::min(pause * 2, kLongestPause);
  until_ = now_() + pause;
}

void Circuit::gave_up() {
  MutexLock lock(mutex_);
  trying_ = false;
}

bool Circuit::open() const {
  MutexLock lock(mutex_);
  return paused_ && (resting() || trying_);
}

std::string Circuit::state() const {
  MutexLock lock(mutex_);
  if (!paused_) return "closed";
  if (!resting()) return "trying again";
  const auto left = std::chrono::ceil<std::chrono::seconds>(until_ - now_());
  return fmt::format("{} for {} s", openings_ >= kOpeningsToQuarantine ? "quarantined" : "open",
                     left.count());
}

void RetryBudget::earn() {
  MutexLock lock(mutex_);
  tenths_ = std::min(tenths_ + 1, kTenthsMax);
}

bool RetryBudget::spend() {
  MutexLock lock(mutex_);
  if (tenths_ < kTenthsPerRetry) return false;
  tenths_ -= kTenthsPerRetry;
  return true;
}

}  // namespace knap::models
