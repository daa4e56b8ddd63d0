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

/// A word that only begins like the last query word, and its share of that word's weight.
struct Expansion {
  std::uint32_t term;
  float share;
};

/// A variant of a word that a segment holds.
struct HeldVariant {
  std::uint32_t term;
  std::uint32_t languages;  ///< Set of bit(Language).
};

/// A word with its weight in this query: the same for all segments.
struct WeightedWord {
  const QueryWord* word = nullptr;
  std::vector<std::vector<HeldVariant>> held;  ///< By segment.
  float idf = 0;
  float expansion_idf = 0;  ///< Of the words that begin with its prefix, taken together.
  std::vector<std::vector<Expansion>> expansions;  ///< By segment; empty: the word has no prefix.
};

std::vector<HeldVariant> held_variants(const Segment& segment, std::span<const Variant> variants);

/// ln(1 + (N - n + .5) / (n + .5))
float bm25_idf(std::uint64_t notes, std::uint64_t with_term);

/// What one term gives to a note and to a passage that hold it, by RankingSettings: 0-1, to be
/// multiplied by the term's gain.
struct TermFormula {
  float k1 = 0, flat = 0, note_slope = 0, unit_slope = 0;
  const RankingSettings* settings = nullptr;

  float passage(std::uint32_t body, bool heading, std::uint32_t unit_length) const {
    float tf = static_cast<float>(body) / (flat + unit_slope * static_cast<float>(unit_length));
    tf *= settings->weight_body;
    if (heading) tf += settings->weight_headings;
    return tf / (tf + k1);
  }
  float note(std::uint32_t body, bool heading, std::uint32_t fields,
             std::uint32_t note_length) const;
};

/// Computes what a term gives to the note at whose first unit the cursor stands, and moves it
/// behind the note's units, which end at `end`: passage(unit, value) for each that holds it.
/// @return the note's own value
template <class Passage>
float note_value(const Segment& segment, PostingCursor& cursor, std::uint32_t end,
                 const TermFormula& formula, Passage passage) {
  const std::uint32_t number = segment.unit_notes[cursor.unit()];
  std::uint32_t fields = 0, body = 0;
  bool heading = false;
  for (; cursor.unit() < end; cursor.next()) {
    if (cursor.header()) {
      fields = cursor.fields();
      continue;
    }
    body += cursor.body();
    heading = heading || cursor.heading() > 0;
    passage(cursor.unit(), formula.passage(cursor.body(), cursor.heading() > 0,
                                           segment.unit_lengths[cursor.unit()]));
  }
  return formula.note(body, heading, fields, segment.note_lengths[number]);
}

/// Computes what a term gives: note(note, value) and passage(unit, value) for each that holds it,
/// by rising unit, a note behind its passages.
/// @param wanted  of a note: the others are passed by
template <class Wanted, class Note, class Passage>
void each_value(const Segment& segment, std::uint32_t term, const TermFormula& formula,
                Wanted wanted, Note note, Passage passage) {
  for (PostingCursor cursor(segment, term); cursor.unit() != PostingCursor::kEnd;) {
    const std::uint32_t number = segment.unit_notes[cursor.unit()];
    const std::uint32_t end = segment.first_unit[number + 1];
    if (wanted(number)) {
      note(number, note_value(segment, cursor, end, formula, passage));
    } else {
      cursor.seek(end);
    }
  }
}

/// A term that stands for a word in one segment.
struct TermUse {
  std::uint32_t term = 0;
  std::uint32_t languages = 0;  ///< Set of bit(Language): in notes of others it does not count.
  /// idf * weight * (k1 + 1): the limit for a term that stands there very often.
  float gain = 0;
};

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

  /// @param number  of the segment among those searched
  /// @param candidates  one bit a note; null: all
  void score(std::size_t number, const Segment& segment, const NoteSet* candidates, bool keep_parts,
             KeywordScores& out) const;
  /// The score of a note that holds each word very often.
  float limit() const { return limit_; }

  const RankingSettings& settings() const { return settings_; }
  const std::vector<WeightedWord>& words() const { return words_; }
  float average_note() const { return average_note_; }
  float average_unit() const { return average_unit_; }
  TermFormula formula() const;
  /// What is looked up for a word in a segment.
  std::vector<TermUse> terms_of(std::size_t number, const WeightedWord& word) const;

 private:
  struct Pass;
  void add_term(Pass& pass, const TermUse& use, const TermValues* values) const;

  const RankingSettings settings_;
  std::vector<WeightedWord> words_;
  float average_note_ = 1, average_unit_ = 1;
  float limit_ = 0;
};

/// At most so many words are tried for a prefix, the most frequent first.
constexpr std::uint32_t kPrefixExpansionsMax = 24;
std::vector<Expansion> expand_prefix(const Segment& segment, std::string_view prefix);

}  // namespace knap::search
