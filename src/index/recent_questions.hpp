#pragma once

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "knap/base/mutex.hpp"

namespace knap::index {

/// The last distinct questions that were asked, in memory alone: what a change of model is judged
/// by. Threads: safe.
class RecentQuestions {
 public:
  static constexpr std::size_t kKept = 20;
  static constexpr std::size_t kBytesMax = 500;  ///< Longer ones are texts rather than questions.

  void add(const std::string& text) KNAP_EXCLUDES(mutex_) {
    if (text.empty() || text.size() > kBytesMax) return;
    const MutexLock lock(mutex_);
    if (std::find(texts_.begin(), texts_.end(), text) != texts_.end()) return;
    texts_.push_back(text);
    if (texts_.size() > kKept) texts_.pop_front();
  }
  std::vector<std::string> all() const KNAP_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    return {texts_.begin(), texts_.end()};
  }

 private:
  mutable Mutex mutex_;
  std::deque<std::string> texts_ KNAP_GUARDED_BY(mutex_);
};

}  // namespace knap::index
