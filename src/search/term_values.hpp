#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "knap/base/mutex.hpp"

namespace knap::search {

struct Segment;
class KeywordScorer;

/// What a term gives to each note and passage of a segment that holds it, by TermFormula with a
/// gain of 1. Immutable.
struct TermValues {
  struct Passage {
    std::uint32_t unit;
    float value;  ///< 0-1.
  };
  struct Note {
    std::uint32_t note;
    float value;                  ///< 0-1.
    float best_passage;           ///< The highest value of its passages.
    std::uint32_t passage_begin;  ///< Its passages end where the next note's begin.
  };
  std::vector<Note> notes;        ///< By rising note.
  std::vector<Passage> passages;  ///< By rising unit.
  float most = 0, most_passage = 0;
  /// The first of `notes` at or behind each multiple of 2^group_shift, and their count at the end.
  std::vector<std::uint32_t> groups;
  std::uint32_t group_shift = 0;

  /// Place of a note in `notes`, or their count.
  std::size_t find(std::uint32_t note) const {
    const std::size_t group = note >> group_shift;
    for (std::size_t at = groups[group]; at < groups[group + 1]; ++at)
      if (notes[at].note == note) return at;
    return notes.size();
  }
  /// Place of the first at or behind a note.
  std::size_t first_from(std::uint32_t note) const {
    std::size_t at = groups[note >> group_shift];
    while (at < notes.size() && notes[at].note < note) ++at;
    return at;
  }
  std::span<const Passage> passages_of(std::size_t at) const {
    const std::size_t end = at + 1 < notes.size() ? notes[at + 1].passage_begin : passages.size();
    return std::span(passages).subspan(notes[at].passage_begin, end - notes[at].passage_begin);
  }
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
  /// not known yet. Null for a long list that was not asked for before: to compute it all would
  /// cost more than what one search needs of it.
  std::vector<Values> of(const Segment& segment, std::span<const std::uint32_t> terms,
                         const KeywordScorer& scorer) const KNAP_EXCLUDES(mutex_);

  /// Computes, once for these settings and averages, the values of the words that most notes hold,
  /// which cost a search the most: up to half of the memory. Takes up to a second for a million
  /// passages; ends early when `stop` says so.
  void warm(const Segment& segment, const KeywordScorer& scorer,
            const std::function<bool()>& stop) const KNAP_EXCLUDES(mutex_);

 private:
  using Table = std::unordered_map<std::uint32_t, Values>;
  Values find(std::uint32_t term, std::size_t bytes_max) const KNAP_REQUIRES(mutex_);
  bool worth_computing(const Segment& segment, std::uint32_t term, std::size_t bytes_max) const
      KNAP_REQUIRES(mutex_);
  void keep(std::uint32_t term, const Values& values, std::size_t bytes_max) const
      KNAP_REQUIRES(mutex_);

  mutable Mutex mutex_;
  void use_key(std::uint64_t key) const KNAP_REQUIRES(mutex_);

  mutable std::uint64_t key_ KNAP_GUARDED_BY(mutex_) = 0;
  mutable std::uint64_t warmed_ KNAP_GUARDED_BY(mutex_) = 0;  ///< The key for which warm() ran.
  mutable Table recent_ KNAP_GUARDED_BY(mutex_), older_ KNAP_GUARDED_BY(mutex_);
  mutable std::size_t recent_bytes_ KNAP_GUARDED_BY(mutex_) = 0;
  mutable std::unordered_set<std::uint32_t> asked_ KNAP_GUARDED_BY(mutex_);  ///< Long lists.
};

}  // namespace knap::search
