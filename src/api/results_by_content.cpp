#include "results_by_content.hpp"

#include <utility>

namespace knap::api {

std::vector<std::uint64_t> ResultsByContent::add(const std::string& vaults, std::uint64_t moment,
                                                 std::uint64_t result) {
  const MutexLock lock(mutex_);
  if (held_.size() >= kVaultsMax && !held_.contains(vaults)) return {};
  Held& held = held_[vaults];
  if (moment < held.moment) return {result};  // an edit came in while it was being kept
  std::vector<std::uint64_t> gone;
  if (moment > held.moment) {
    gone = std::exchange(held.results, {});
    held.moment = moment;
  }
  if (held.results.size() < kResultsMax) held.results.push_back(result);
  return gone;
}

}  // namespace knap::api
