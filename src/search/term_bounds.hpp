#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "knap/base/mutex.hpp"

namespace knap::search {

struct Segment;
class KeywordScorer;

/// The largest shares of a term's gain that any note and passage of a segment get, found out when a
/// search first needs it and kept. What is kept holds for one set of ranking settings and for
/// average lengths up to a tenth above those of now; with others it is found out anew.
///
/// Threads: safe; two searches may find out the same twice.
class TermBounds {
 public:
  /// 0-1 each. 1 for terms of few postings, where finding out would not pay.
  struct Shares {
    float note = 0, passage = 0;
  };
  Shares of(const Segment& segment, std::uint32_t term, const KeywordScorer& scorer) const;

 private:
  struct Known {
    explicit Known(std::uint64_t made_for, std::size_t blocks) : key(made_for), values(blocks) {}
    const std::uint64_t key;
    std::vector<std::atomic<Shares>> values;  ///< By the term's first block; 0: not known.
  };
  /// What is kept under `key`; begun anew when it was kept under another.
  std::shared_ptr<Known> known_for(std::uint64_t key, std::size_t blocks) const
      KNAP_EXCLUDES(mutex_);

  // Held for the copy of one pointer, as in the index: this standard library's
  // std::atomic<std::shared_ptr> reads its pointer without ordering the read before the unlock.
  mutable Mutex mutex_;
  mutable std::shared_ptr<Known> known_ KNAP_GUARDED_BY(mutex_);
};

}  // namespace knap::search
