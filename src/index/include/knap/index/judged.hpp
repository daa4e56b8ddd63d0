#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

namespace knap::index {

/// A question with the notes that answer it.
struct JudgedQuestion {
  std::string query, filter, vault;   ///< filter and vault may be empty.
  std::map<std::string, int> grades;  ///< By the note's path: 1-3, 3 the best.
};

/// The owner's questions, and where they come from.
struct JudgedSet {
  std::string file;  ///< Named in what is said of them.
  std::vector<JudgedQuestion> questions;
};

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

}  // namespace knap::index
