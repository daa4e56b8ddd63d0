#include "knap/service/retry_planner.hpp"

#include <algorithm>

namespace knap::service {

std::chrono::seconds RetryPlanner::next(double per_second, SteadyClock::time_point now) {
  const double rate = std::max(.1, per_second * share_);
  const auto step =
      std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>(1 / rate));
  free_ = std::clamp(free_ + step, now, now + SteadyClock::duration(kLongest));
  const std::chrono::duration<double> wait = free_ - now;
  // Up to half as long again, and at least a second of room.
  std::uniform_real_distribution<double> jitter(0, std::max(1.0, wait.count() / 2));
  const auto seconds = static_cast<std::int64_t>(wait.count() + jitter(random_)) + 1;
  return std::min(std::chrono::seconds(seconds), kLongest);
}

}  // namespace knap::service
