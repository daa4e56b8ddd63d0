#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"
#include "state.hpp"
#include "vectors.hpp"

namespace knap::search {

/// The segments of a state as bytes (docs/formats/Search snapshot.md). Vectors are named by the
/// hashes of their passages, not written.
/// @param stamp  what the caller knows the state by; read_snapshot asks for the same
std::string write_snapshot(const State& state, const VectorStore& vectors, std::uint64_t stamp);

/// Segments from write_snapshot's bytes; each passage is counted as a use in `vectors`.
/// Errors: kCorruptData (magic, checksum, lengths), kFailedPrecondition (another version, machine
/// or stamp). Then nothing was counted.
Result<std::vector<SegmentView>> read_snapshot(std::string_view bytes, std::uint64_t stamp,
                                               VectorStore& vectors);

/// Raised when the bytes, the analysis of words or the posting format change: an older snapshot is
/// then not read.
inline constexpr std::uint32_t kSnapshotVersion = 1;

}  // namespace knap::search
