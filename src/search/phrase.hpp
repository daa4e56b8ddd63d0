#pragma once

#include <span>
#include <vector>

#include "query_terms.hpp"
#include "segment.hpp"

namespace knap::search {

/// The notes of a segment in which a phrase occurs within one field of one unit.
NoteSet find_phrase(const Segment& segment, const QueryPhrase& phrase);

/// For each of `units` (ascending), the share of neighbouring query words found side by side in the
/// same order, 0-1.
std::vector<float> phrase_shares(const Segment& segment, std::span<const QueryWord> words,
                                 std::span<const std::uint32_t> units);

}  // namespace knap::search
