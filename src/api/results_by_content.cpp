#include "results_by_content.hpp"

#include <algorithm>
#include <utility>

namespace knap::api {

std::vector<std::uint64_t> ResultsByContent::add(const std::string& vaults,
                                                 const std::string& content, std::uint64_t result) {
  const MutexLock lock(mutex_);
  if (held_.size() >= kVaultsMax && !held_.contains(vaults)) return {};
  std::deque<Results>& contents = held_[vaults];
  const auto known = std::find_if(contents.begin(), contents.end(),
                                  [&](const Results& each) { return each.content == content; });
  Results results{content, {}};
  if (known != contents.end()) {
    results = std::move(*known);
    contents.erase(known);
  }
  if (results.keys.size() < kResultsMax) results.keys.push_back(result);
  contents.push_front(std::move(results));
  if (contents.size() <= kContentsMax) return {};
  std::vector<std::uint64_t> gone = std::move(contents.back().keys);
  contents.pop_back();
  return gone;
}

}  // namespace knap::api
