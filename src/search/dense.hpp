#pragma once

#include <memory>
#include <span>
#include <utility>
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
  /// Cosines but for the largest are estimates, mean and deviation those of a sample of exact ones.
  bool estimated = false;
  /// Segments and notes whose cosine was computed again in the query's precision, sorted.
  std::vector<std::pair<std::uint32_t, std::uint32_t>> rescored;
  std::vector<float> rows;  ///< Cosine of each row when all were read.
  std::span<const float> query;

  /// kNoCosine when the passage has no vector.
  float passage_cosine(const State& state, std::size_t segment, std::uint32_t unit) const;
  struct NoteBest {
    float cosine = kNoCosine;
    std::uint32_t unit = 0;
  };
  /// Exact, of a note's nearest passage.
  NoteBest note_cosine(const State& state, std::size_t segment, std::uint32_t note) const;
};

/// Compares every candidate passage, equal passages once: as int8 values, or, from `estimated_from`
/// rows on, first by their signs (SignQuery) and as int8 values the kRefinedRows that seem nearest.
/// The best are computed again with the query in float.
/// @param candidates  per segment, one bit a note; null: all
/// @param rescored  how many of the best notes are computed again
///
/// Made in parts, so that a search can compute them beside each other and beside its other leg:
/// all scan(part) in any order and from any threads, then finish().
class DenseSearch {
 public:
  /// @pre the arguments outlive it
  DenseSearch(const State& state, std::span<const float> query,
              std::span<const NoteSet* const> candidates, std::uint32_t estimated_from);
  ~DenseSearch();
  std::size_t parts() const;  ///< May be 0.
  void scan(std::size_t part);
  DenseScores finish(std::uint32_t rescored, const Helpers& helpers);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knap::search
