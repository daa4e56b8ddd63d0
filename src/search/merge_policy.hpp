#pragma once

#include <vector>

#include "state.hpp"

namespace knap::search {

/// Sizes of segments, each four times the one before: with up to kMergeWidth of each, the number of
/// segments grows with the logarithm of the index, and a note is copied once a tier.
constexpr std::uint32_t kMergeTiers = 12;
constexpr std::size_t kMergeWidth = 4;

/// The segments to merge next, none when all is well: kMergeWidth neighbours of one tier, or one
/// that is half deleted.
/// @param units_max  leave merges alone that read more units than this; 0: no limit
std::vector<SegmentView> choose_merge(const std::vector<SegmentView>& segments,
                                      std::uint64_t units_max);

}  // namespace knap::search
