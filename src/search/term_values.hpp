#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "knap/base/mutex.hpp"

namespace knap::search {

struct Segment;
class KeywordScorer;

/// What a term gives to each note and passage of a segment that holds it, by TermFormula with a
/// gain of 1. Immutable.
struct TermValues {
  struct Value {
    std::uint32_t place;  ///< Number of the note or unit.
    float value;          ///< 0-1.
  };
  std::vector<Value> notes;     ///< By rising note.
  std::vector<Value> passages;  ///< By rising unit.
  float most = 0, most_passage = 0;

  std::size_t bytes() const;
};

/// The values of a segment's terms, computed when a search first needs them and kept in a bounded
/// memory; of what does not fit, the older half goes. They hold for one set of ranking settings and
/// average lengths, and are computed anew for others; the scorer's averages move in steps, so that
/// edits seldom matter.
///
/// Scoring ahead of the query is the idea of BM25S (Lù, "BM25S: Orders of magnitude faster lexical
/// search via eager sparse scoring", 2024), here only for the terms that are asked for.
///
/// Threads: safe; two searches may compute the same values twice.
class TermValueCache {
 public:
  using Values = std::shared_ptr<const TermValues>;

  /// Values for each term, in the order of `terms`. Costs a look at all postings of a term that is
  /// not known yet.
  std::vector<Values> of(const Segment& segment, std::span<const std::uint32_t> terms,
                         const KeywordScorer& scorer) const KNAP_EXCLUDES(mutex_);

 private:
  using Table = std::unordered_map<std::uint32_t, Values>;
  void keep(std::uint32_t term, const Values& values, std::size_t bytes_max) const
      KNAP_REQUIRES(mutex_);

  mutable Mutex mutex_;
  mutable std::uint64_t key_ KNAP_GUARDED_BY(mutex_) = 0;
  mutable Table recent_ KNAP_GUARDED_BY(mutex_), older_ KNAP_GUARDED_BY(mutex_);
  mutable std::size_t recent_bytes_ KNAP_GUARDED_BY(mutex_) = 0;
};

/// Where all notes are scored, longer lists are read as they are (each_value()) and not kept: they
/// would push out too many others.
constexpr std::uint32_t kKeptPostingsMax = 1U << 14;

}  // namespace knap::search
