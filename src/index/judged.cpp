#include "knap/index/judged.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

namespace knap::index {
namespace {

double gain(int grade, std::size_t rank) {
  return (std::exp2(grade) - 1) / std::log2(static_cast<double>(rank) + 1);
}

}  // namespace

RankingQuality judge(std::span<const std::string> ranked,
                     const std::map<std::string, int>& grades) {
  constexpr std::size_t kDepth = 10;
  RankingQuality out;
  double sum = 0, ideal = 0;
  std::size_t first = 0, ten = 0;
  for (std::size_t i = 0; i < ranked.size(); ++i) {
    const auto found = grades.find(ranked[i]);
    if (found == grades.end()) continue;
    if (out.reciprocal_rank == 0) out.reciprocal_rank = 1.0 / static_cast<double>(i + 1);
    if (i < kDepth) {
      ++ten;
      sum += gain(found->second, i + 1);
    }
    if (i == 0) ++first;
  }
  std::vector<int> best;
  for (const auto& [path, grade] : grades) best.push_back(grade);
  std::sort(best.begin(), best.end(), std::greater<>());
  for (std::size_t i = 0; i < std::min(kDepth, best.size()); ++i) ideal += gain(best[i], i + 1);
  const auto count = static_cast<double>(grades.size());
  if (count > 0) {
    out.recall_1 = static_cast<double>(first) / count;
    out.recall_10 = static_cast<double>(ten) / count;
    out.ndcg_10 = sum / ideal;
  }
  return out;
}

}  // namespace knap::index
