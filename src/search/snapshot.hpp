#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"
#include "knap/search/index.hpp"
#include "state.hpp"
#include "vectors.hpp"

namespace knap::search {

/// The passages' hashes of a segment, in order: what its slots stand for.
std::vector<Hash128> passage_hashes(const Segment& segment, const VectorStore& vectors);

/// Gives the segments of a state as bytes (docs/formats/Search snapshot.md) to `sink`. Vectors are
/// named by the hashes of their passages, not written.
/// @param hashes  passage_hashes() of each segment
/// @param stamp  what the caller knows the state by
/// Errors: the sink's first; it is then not called again.
Status write_snapshot(const State& state, std::span<const std::vector<Hash128>> hashes,
                      std::uint64_t stamp, const Index::SnapshotSink& sink);

std::optional<std::uint64_t> read_stamp(std::string_view snapshot);

/// Segments from write_snapshot's bytes; each passage is counted as a use in `vectors`.
/// Errors: kCorruptData (magic, checksum, lengths), kFailedPrecondition (another version). Then
/// nothing was counted.
Result<std::vector<SegmentView>> read_snapshot(std::string_view bytes, VectorStore& vectors);

/// Raised when the bytes, the analysis of words or the posting format change: an older snapshot is
/// then not read.
inline constexpr std::uint32_t kSnapshotVersion = 5;

}  // namespace knap::search
