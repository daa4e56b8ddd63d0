#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "state.hpp"

namespace knap::search {

/// A term of the index that a misspelt word may have been meant as.
struct NearTerm {
  std::string term;
  std::uint32_t distance = 0;  ///< Insertions, deletions, changes and swaps of neighbours.
  std::uint64_t notes = 0;     ///< That hold it, over all segments.
};

/// The nearest terms, those of more notes first, at most kNearTermsMax: one letter away for words
/// of four letters and more, two for six and more. A typing slip rarely hits the first letter,
/// which must agree. None for shorter words, numbers and scripts without spaces.
std::vector<NearTerm> find_near_terms(const State& state, std::string_view term);

constexpr std::size_t kNearTermsMax = 3;
/// Dictionary entries compared for one word, over all segments.
constexpr std::size_t kNearScanMax = 100'000;

/// Optimal string alignment distance of two texts in code points; most + 1 when it is more than
/// `most`. At most kTokenBytesMax bytes each.
std::uint32_t edit_distance(std::string_view a, std::string_view b, std::uint32_t most);

}  // namespace knap::search
