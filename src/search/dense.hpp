#pragma once

#include <memory>
#include <span>
#include <vector>

#include "knap/base/fan_out.hpp"
#include "state.hpp"

namespace knap::search {

constexpr float kNoCosine = -2;

/// Nearness of one query to the passages of all segments.
struct DenseScores {
  struct PerSegment {
    std::vector<float> notes;  ///< Largest cosine of a note's passages; kNoCosine without any.
    std::vector<std::uint32_t> best_units;  ///< Where it is.
  };
  std::vector<PerSegment> segments;
  float best = kNoCosine;
  float mean =
      0;  ///< Over the notes of the whole index, filtered or not, as far as they were scored.
  float deviation = 0;
  std::uint64_t candidates = 0;
  std::vector<float> rows;  ///< Cosine of each row when all were read.
  std::span<const float> query;

  /// kNoCosine when the passage has no vector.
  float passage_cosine(const State& state, std::size_t segment, std::uint32_t unit) const;
};

/// Exact: every candidate passage is compared, equal passages once. int8 first; the best are
/// computed again with the query in float.
/// @param candidates  per segment, one bit a note; null: all
/// @param rescored  how many of the best notes are computed again
///
/// Made in parts, so that a search can compute them beside each other and beside its other leg:
/// all scan(part) in any order and from any threads, then finish().
class DenseSearch {
 public:
  /// @pre the arguments outlive it
  DenseSearch(const State& state, std::span<const float> query,
              std::span<const NoteSet* const> candidates);
  ~DenseSearch();
  std::size_t parts() const;  ///< May be 0.
  void scan(std::size_t part);
  DenseScores finish(std::uint32_t rescored, const Helpers& helpers);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knap::search
