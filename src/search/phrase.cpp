#include "phrase.hpp"

#include <algorithm>

namespace knap::search {
namespace {

/// The positions of a word's variants in one unit after the other.
class WordCursor {
 public:
  WordCursor(const Segment& segment, std::span<const HeldVariant> variants) : segment_(&segment) {
    for (const HeldVariant& variant : variants)
      parts_.push_back({PostingCursor(segment, variant.term), variant.languages});
  }
  bool empty() const { return parts_.empty(); }
  std::uint64_t postings() const {
    std::uint64_t sum = 0;
    for (const Part& part : parts_) sum += part.cursor.postings();
    return sum;
  }

  /// The first unit at or after `unit` that holds the word.
  std::uint32_t seek(std::uint32_t unit) {
    std::uint32_t least = PostingCursor::kEnd;
    for (Part& part : parts_) {
      part.cursor.seek(unit);
      // Units of notes in other languages hold another word of the same spelling.
      while (part.cursor.unit() != PostingCursor::kEnd && !speaks(part)) part.cursor.next();
      least = std::min(least, part.cursor.unit());
    }
    return least;
  }
  void positions(std::uint32_t unit, std::vector<std::uint32_t>& out) {
    out.clear();
    for (Part& part : parts_) {
      if (part.cursor.unit() != unit) continue;
      part.cursor.positions(scratch_);
      out.insert(out.end(), scratch_.begin(), scratch_.end());
    }
    if (parts_.size() > 1) std::sort(out.begin(), out.end());
  }

 private:
  struct Part {
    PostingCursor cursor;
    std::uint32_t languages;
  };
  bool speaks(const Part& part) const {
    return (bit(segment_->languages[segment_->unit_notes[part.cursor.unit()]]) & part.languages) !=
           0;
  }
  const Segment* segment_;
  std::vector<Part> parts_;
  std::vector<std::uint32_t> scratch_;
};

/// Keeps of `starts` those with a position `offset` further on (or back). Both ascending.
void keep_followed(std::vector<std::uint32_t>& starts, const std::vector<std::uint32_t>& positions,
                   std::uint32_t offset) {
  std::erase_if(starts, [&](std::uint32_t start) {
    return !std::binary_search(positions.begin(), positions.end(), start + offset);
  });
}

}  // namespace

NoteSet find_phrase(const Segment& segment, const QueryPhrase& phrase) {
  NoteSet found(segment.note_count());
  struct Word {
    WordCursor cursor;
    std::uint32_t offset;
  };
  std::vector<Word> words;
  words.reserve(phrase.words.size());
  for (const auto& word : phrase.words) {
    words.push_back({WordCursor(segment, held_variants(segment, word.variants)), word.offset});
    if (words.back().cursor.empty()) return found;
  }
  // The rarest word leads: the others are only looked up where it stands.
  std::sort(words.begin(), words.end(),
            [](const Word& a, const Word& b) { return a.cursor.postings() < b.cursor.postings(); });
  const std::uint32_t lead = words.front().offset;
  std::vector<std::uint32_t> starts, positions;
  for (std::uint32_t unit = words.front().cursor.seek(0); unit != PostingCursor::kEnd;) {
    std::uint32_t furthest = unit;
    for (std::size_t i = 1; i < words.size() && furthest == unit; ++i)
      furthest = words[i].cursor.seek(unit);
    if (furthest != unit) {
      if (furthest == PostingCursor::kEnd) break;
      unit = words.front().cursor.seek(furthest);
      continue;
    }
    words.front().cursor.positions(unit, starts);
    for (std::size_t i = 1; i < words.size() && !starts.empty(); ++i) {
      words[i].cursor.positions(unit, positions);
      keep_followed(starts, positions, words[i].offset - lead);
    }
    const std::uint32_t note = segment.unit_notes[unit];
    if (!starts.empty()) found.set(note);
    unit = words.front().cursor.seek(starts.empty() ? unit + 1 : segment.first_unit[note + 1]);
  }
  return found;
}

std::vector<float> phrase_shares(const Segment& segment, std::size_t number,
                                 std::span<const WeightedWord> words,
                                 std::span<const std::uint32_t> units) {
  std::vector<float> shares(units.size(), 0);
  if (words.size() < 2) return shares;
  std::vector<std::vector<std::uint32_t>> previous(units.size()), current(units.size());
  std::uint32_t pairs = 0;
  for (std::size_t w = 0; w < words.size(); ++w) {
    WordCursor cursor(segment, words[w].held[number]);
    const std::uint32_t offset = w == 0 ? 0 : words[w].word->position - words[w - 1].word->position;
    // Words that the query itself keeps apart by function words are looked for at the same
    // distance.
    const bool paired = w > 0 && offset >= 1 && offset <= 3;
    pairs += paired ? 1 : 0;
    for (std::size_t u = 0; u < units.size(); ++u) {
      current[u].clear();
      if (cursor.empty() || cursor.seek(units[u]) != units[u]) continue;
      cursor.positions(units[u], current[u]);
      if (!paired) continue;
      keep_followed(previous[u], current[u], offset);
      if (!previous[u].empty()) shares[u] += 1;
    }
    std::swap(previous, current);
  }
  for (float& share : shares) share = pairs > 0 ? share / static_cast<float>(pairs) : 0;
  return shares;
}

}  // namespace knap::search
