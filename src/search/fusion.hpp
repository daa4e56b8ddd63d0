#pragma once

#include <span>
#include <vector>

#include "dense.hpp"
#include "query_terms.hpp"
#include "state.hpp"
#include "top_notes.hpp"

namespace knap::search {

/// Places looked at for neighbouring query words: the bonus can only lift what is near the top.
constexpr std::uint32_t kPhraseCandidates = 24;

struct FusionInput {
  const State& state;
  const Query& query;
  const QueryTerms& terms;
  const std::vector<const NoteSet*>& candidates;
  std::span<const WeightedWord> words = {};             ///< Of the query, when the keyword leg ran.
  const std::vector<KeywordScores>* keyword = nullptr;  ///< Of all notes, when that leg ran so.
  const std::vector<KeywordHit>* best = nullptr;        ///< Or of the best notes alone.
  float keyword_limit = 0;
  float unknown_share = 0;             ///< Of the query's weight: words that no note holds.
  const DenseScores* dense = nullptr;  ///< Null: this leg did not run.
};

/// Notes whose whole title, name or alias the query is: (segment, note), sorted.
std::vector<NamedNote> notes_named(const State& state, const Query& query, const QueryTerms& terms);

/// The best notes or passages, by the legs' normalised scores, phrases and exact names.
/// @param found  receives how many notes or passages had any score
std::vector<Hit> fuse(const FusionInput& input, std::uint64_t& found);

}  // namespace knap::search
