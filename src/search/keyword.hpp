#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "knap/search/index.hpp"
#include "query_terms.hpp"
#include "segment.hpp"

namespace knap::search {

/// Totals over all segments, deleted notes left out where that is cheap.
struct Totals {
  std::uint64_t notes = 0;
  std::uint64_t passages = 0;
  std::uint64_t body_words = 0;
};

/// A word with its weight in this query: the same for all segments.
struct WeightedWord {
  const QueryWord* word = nullptr;
  float idf = 0;
  float expansion_idf = 0;  ///< Of the words that begin with its prefix, taken together.
};

/// ln(1 + (N - n + .5) / (n + .5))
float bm25_idf(std::uint64_t notes, std::uint64_t with_term);

/// Keyword scores of one segment. Notes out of the candidates keep 0.
struct KeywordScores {
  std::vector<float> notes;
  std::vector<float> units;
  /// Only when parts are kept: per word, (note, share of its score).
  std::vector<std::vector<std::pair<std::uint32_t, float>>> by_word;
};

/// BM25 over notes with weighted fields: for each word
///   tf = w_body * tf_body / (1 - b + b * length / average) + sum of w_field over the fields that
///   hold the word, score = idf * weight * tf * (k1 + 1) / (tf + k1),
/// and the same over single passages for the place in the note. One pass over the postings gives
/// both.
class KeywordScorer {
 public:
  KeywordScorer(const RankingSettings& settings, const Totals& totals,
                std::vector<WeightedWord> words);

  /// @param candidates  one bit a note; null: all
  void score(const Segment& segment, const NoteSet* candidates, bool keep_parts,
             KeywordScores& out) const;
  /// The score of a note that holds each word very often.
  float limit() const { return limit_; }

 private:
  struct Pass;
  void add_term(Pass& pass, std::uint32_t term, std::uint32_t languages, float weight) const;
  void add_word(Pass& pass, const WeightedWord& word) const;

  const RankingSettings settings_;
  std::vector<WeightedWord> words_;
  float average_note_ = 1, average_unit_ = 1;
  float limit_ = 0;
};

/// At most so many words are tried for a prefix, the most frequent first.
constexpr std::uint32_t kPrefixExpansionsMax = 24;
std::vector<std::uint32_t> expand_prefix(const Segment& segment, std::string_view prefix);

}  // namespace knap::search
