#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"

namespace knap::app {

/// A question with the notes that answer it.
struct JudgedQuestion {
  std::string query, filter, vault;   ///< filter and vault may be empty.
  std::map<std::string, int> grades;  ///< By the note's path: 1-3, 3 the best.
};

/// Reads a set of judged questions:
///
///     questions:
///       - query: when is the lease due
///         notes: [Home/Lease.md, {path: Home/Landlord.md, grade: 2}]
///         filter: "tag:#home"     # or none
///         vault: work             # or none
///
/// A note without a grade has 1. Errors: kNotFound, kInvalidArgument (file, line and what to do).
Result<std::vector<JudgedQuestion>> read_judged(const std::filesystem::path& file);

/// What a ranking is worth for one question, 0-1 each.
/// Source of nDCG: Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques, ACM
/// TOIS 20(4), 2002; gain 2^grade - 1, discount log2(rank + 1).
struct RankingQuality {
  double recall_1 = 0, recall_10 = 0;  ///< Share of the notes among the first 1 and 10.
  double ndcg_10 = 0;
  double reciprocal_rank = 0;  ///< 1 / rank of the first note that answers; 0: not found.
};
/// @param ranked  paths, best first, each once
RankingQuality judge(std::span<const std::string> ranked, const std::map<std::string, int>& grades);

}  // namespace knap::app
