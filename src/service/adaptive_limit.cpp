#include "knap/service/adaptive_limit.hpp"

#include <algorithm>

namespace knap::service {
namespace {
/// Down by a tenth each interval, up by a twentieth: from 256 to 8 takes 33 intervals, back 71.
constexpr double kDown = .9;
constexpr double kUp = 1.05;
}  // namespace

void AdaptiveLimit::waited(SteadyClock::duration wait, SteadyClock::time_point now) {
  if (!begun_) {
    begun_ = true;
    interval_end_ = now + options_.interval;
    shortest_ = wait;
    return;
  }
  shortest_ = std::min(shortest_, wait);
  if (now < interval_end_) return;
  overloaded_ = shortest_ > options_.target;
  const double least = static_cast<double>(options_.least);
  const double most = static_cast<double>(std::max(options_.least, options_.most));
  limit_ =
      std::clamp(overloaded_ ? limit_ * kDown : std::max(limit_ * kUp, limit_ + 1), least, most);
  interval_end_ = now + options_.interval;
  shortest_ = wait;
}

}  // namespace knap::service
