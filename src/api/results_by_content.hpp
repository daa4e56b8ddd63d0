#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "knap/base/mutex.hpp"

namespace knap::api {

/// Which kept results belong to what the vaults held lately. After an edit nobody finds the older
/// ones any more, because their keys name a content that is gone; they would stay in memory until
/// they expire, and people who write all day fill it with them. Those of the last few contents
/// stay: an edit may be undone. Threads: safe.
class ResultsByContent {
 public:
  static constexpr std::size_t kVaultsMax = 64;         ///< Choices of vaults that are followed.
  static constexpr std::size_t kContentsMax = 4;        ///< Of one choice.
  static constexpr std::size_t kResultsMax = 1U << 16;  ///< Of one content; others just expire.

  /// A result was kept.
  /// @param vaults  the choice of vaults that it is about
  /// @param content  Content::key of that choice
  /// @return the results that nobody will find, those of the content that was kept longest ago;
  /// none
  ///         but when a new content begins
  std::vector<std::uint64_t> add(const std::string& vaults, const std::string& content,
                                 std::uint64_t result) KNAP_EXCLUDES(mutex_);

 private:
  struct Results {
    std::string content;
    std::vector<std::uint64_t> keys;
  };
  Mutex mutex_;
  /// By choice of vaults; the content that was kept last stands first.
  std::map<std::string, std::deque<Results>, std::less<>> held_ KNAP_GUARDED_BY(mutex_);
};

}  // namespace knap::api
