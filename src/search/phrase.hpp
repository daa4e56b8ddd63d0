#pragma once

#include <span>
#include <vector>

#include "keyword.hpp"
#include "segment.hpp"

namespace knap::search {

/// The notes of a segment in which a phrase occurs within one field of one unit.
NoteSet find_phrase(const Segment& segment, const QueryPhrase& phrase);

/// For each of `units` (ascending), the share of neighbouring query words found side by side in the
/// same order, 0-1.
/// @param number  of the segment among those searched
std::vector<float> phrase_shares(const Segment& segment, std::size_t number,
                                 std::span<const WeightedWord> words,
                                 std::span<const std::uint32_t> units);

}  // namespace knap::search
