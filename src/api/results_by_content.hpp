#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "knap/base/mutex.hpp"

namespace knap::api {

/// Which kept results belong to what the vaults hold now. After an edit nobody finds the older ones
/// any more, because their keys name a content that is gone; they would stay in memory until they
/// expire, and people who write all day fill it with them. Threads: safe.
class ResultsByContent {
 public:
  static constexpr std::size_t kVaultsMax = 64;         ///< Choices of vaults that are followed.
  static constexpr std::size_t kResultsMax = 1U << 16;  ///< Of one content; others just expire.

  /// A result was kept.
  /// @param vaults  the choice of vaults that it is about
  /// @param moment  Content::moment of that choice: grows with each change
  /// @return the results that nobody will find: those of an older moment
  std::vector<std::uint64_t> add(const std::string& vaults, std::uint64_t moment,
                                 std::uint64_t result) KNAP_EXCLUDES(mutex_);

 private:
  struct Held {
    std::uint64_t moment = 0;
    std::vector<std::uint64_t> results;
  };
  Mutex mutex_;
  std::map<std::string, Held, std::less<>> held_ KNAP_GUARDED_BY(mutex_);
};

}  // namespace knap::api
