#pragma once

#include <chrono>
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

/// How long an index has not changed when it counts as quiet.
constexpr std::chrono::milliseconds kQuietAfter{1'500};
/// So many segments stay as they are when it is quiet.
constexpr std::size_t kQuietSegments = 2;

/// What to merge beyond that while nothing changes, none when all is well: each segment costs a
/// search its look-ups anew. All but the largest segment, and that too once the others have grown
/// to a quarter of it, so that a note is copied a few times only, however often the index comes to
/// rest. Large segments stay apart: kQuietBytesMax.
std::vector<SegmentView> choose_quiet_merge(const std::vector<SegmentView>& segments);
/// Of segments that are merged only because it is quiet: about a second's work.
constexpr std::uint64_t kQuietBytesMax = 128U << 20;

}  // namespace knap::search
