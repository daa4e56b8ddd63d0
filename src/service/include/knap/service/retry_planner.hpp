#pragma once

#include <chrono>
#include <random>

#include "knap/base/deadline.hpp"

namespace knap::service {

/// Tells refused clients when to come back, so that they do not come all at once: each refusal
/// takes the next free moment of a budget, a share of what the server gets done. Jitter parts
/// clients that count in whole seconds. Threads: one at a time.
class RetryPlanner {
 public:
  /// @param share  of the requests done that may be retries, 0-1
  explicit RetryPlanner(double share = .1) : share_(share) {}

  /// Whole seconds, 1 to kLongest.
  /// @param per_second  requests that get done; 0 or less: unknown
  std::chrono::seconds next(double per_second, SteadyClock::time_point now);

  static constexpr std::chrono::seconds kLongest{30};

 private:
  const double share_;
  SteadyClock::time_point free_{};  ///< From when on the budget is unused.
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace knap::service
