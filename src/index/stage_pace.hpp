#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>

namespace knap::index {

/// What a stage of a search usually takes on this machine, learned from how long it took: follows a
/// faster run by half, a slower one by a tenth. A stage that is left out for want of time is tried
/// again after some searches, so that one stall cannot switch it off for good.
/// Threads: safe from any thread; of two at once one may be forgotten.
class StagePace {
 public:
  using Duration = std::chrono::microseconds;

  /// Zero: not known yet.
  Duration usual() const { return Duration(usual_us_.load(std::memory_order_relaxed)); }

  void learn(Duration took) {
    const auto known = usual().count(), now = took.count();
    const auto next = known == 0 ? now : now < known ? (known + now) / 2 : (9 * known + now) / 10;
    usual_us_.store(std::max<Duration::rep>(next, 1), std::memory_order_relaxed);
  }

  /// The stage was left out because of usual().
  void skipped() {
    const auto known = usual().count();
    usual_us_.store(std::max<Duration::rep>(known - known / 32, 1), std::memory_order_relaxed);
  }
  /// The deadline ended the stage after this time: it takes longer, nobody knows by how much.
  void exceeded(Duration took) {
    const auto longer = std::max(usual().count(), 2 * took.count());
    usual_us_.store(std::max<Duration::rep>(longer, 1), std::memory_order_relaxed);
  }

 private:
  std::atomic<Duration::rep> usual_us_{0};
};

}  // namespace knap::index
