#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "keyword.hpp"
#include "state.hpp"

namespace knap::search {

/// A note by its words: what KeywordScorer and the mix of note and best passage would give it.
struct KeywordHit {
  std::uint32_t segment = 0, note = 0, unit = 0;
  float score = 0;
};

using NamedNote = std::pair<std::uint32_t, std::uint32_t>;  ///< (segment, note)

/// The notes with the highest keyword scores. Values of terms are added up window by window; lists
/// of very common words are only looked into where the rarer words have left a chance (MaxScore:
/// Turtle and Flood 1995). Exact: the same notes, passages and scores as scoring them all, equal
/// scores by lower id.
/// @param named  scored in any case
/// @param scored  receives how many notes were scored
std::vector<KeywordHit> best_notes(const State& state,
                                   const std::vector<const NoteSet*>& candidates,
                                   const KeywordScorer& scorer, std::uint32_t count,
                                   const std::vector<NamedNote>& named, std::uint64_t& scored);

}  // namespace knap::search
