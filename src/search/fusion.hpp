#pragma once

#include <vector>

#include "dense.hpp"
#include "query_terms.hpp"
#include "state.hpp"

namespace knap::search {

struct FusionInput {
  const State& state;
  const Query& query;
  const QueryTerms& terms;
  const std::vector<const NoteSet*>& candidates;
  const std::vector<KeywordScores>* keyword;  ///< Null: this leg did not run.
  float keyword_limit;
  const DenseScores* dense;  ///< Null: this leg did not run.
};

/// The best notes or passages, by the legs' normalised scores, phrases and exact names.
/// @param found  receives how many notes or passages had any score
std::vector<Hit> fuse(const FusionInput& input, std::uint64_t& found);

}  // namespace knap::search
