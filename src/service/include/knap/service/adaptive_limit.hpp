#pragma once

#include <chrono>
#include <cstddef>

#include "knap/base/deadline.hpp"

namespace knap::service {

/// How many requests may wait, learnt from how long they waited (after CoDel, Nichols and Jacobson,
/// ACM Queue 10(5), 2012). A burst empties itself: somebody of it waited briefly. A queue in which
/// even the luckiest of an interval waited longer than the target is a standing one: it makes
/// everybody late and serves nobody sooner. Then the limit falls; it rises again while the target
/// is met.
///
/// Unlike a limit on latency it does not mistake work that has become slower, e.g. because
/// something else computes, for too many requests. Threads: one at a time.
class AdaptiveLimit {
 public:
  struct Options {
    std::size_t least = 4;  ///< The limit never falls below.
    std::size_t most = 256;
    std::chrono::milliseconds target{100};    ///< Of the shortest wait in an interval.
    std::chrono::milliseconds interval{100};  ///< At least as long as a request usually takes.
  };
  explicit AdaptiveLimit(Options options)
      : options_(options), limit_(static_cast<double>(options.most)) {}

  /// A request has waited so long, or the oldest waits so long and nobody was let in.
  void waited(SteadyClock::duration wait, SteadyClock::time_point now);

  std::size_t limit() const { return static_cast<std::size_t>(limit_); }
  /// The queue stands: the newest should go first, because they can still be in time.
  bool overloaded() const { return overloaded_; }

 private:
  const Options options_;
  double limit_;
  bool overloaded_ = false;
  bool begun_ = false;
  SteadyClock::time_point interval_end_{};
  SteadyClock::duration shortest_{};
};

}  // namespace knap::service
