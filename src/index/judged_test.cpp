#include "knap/index/judged.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace knap::index {
namespace {

using Paths = std::vector<std::string>;

TEST(Judge, GivesOneToAPerfectRankingAndNothingToAMiss) {
  const std::map<std::string, int> grades{{"a", 3}, {"b", 1}};
  const RankingQuality best = judge(Paths{"a", "b", "c"}, grades);
  EXPECT_DOUBLE_EQ(best.ndcg_10, 1);
  EXPECT_DOUBLE_EQ(best.recall_10, 1);
  EXPECT_DOUBLE_EQ(best.recall_1, .5);
  EXPECT_DOUBLE_EQ(best.reciprocal_rank, 1);
  EXPECT_DOUBLE_EQ(judge(Paths{"c", "d"}, grades).ndcg_10, 0);
  EXPECT_DOUBLE_EQ(judge(Paths{}, grades).reciprocal_rank, 0);
}

TEST(Judge, FollowsTheDefinitionOfTheGain) {
  // The note of grade 2 stands second: 3 / log2(3) of 3 / log2(2).
  const RankingQuality quality = judge(Paths{"x", "a"}, {{"a", 2}});
  EXPECT_NEAR(quality.ndcg_10, 1 / std::log2(3.0), 1e-12);
  EXPECT_DOUBLE_EQ(quality.reciprocal_rank, .5);
  EXPECT_DOUBLE_EQ(quality.recall_1, 0);
}

TEST(Judge, LooksAtTheFirstTenForGain) {
  Paths ranked(10, "other");
  ranked.push_back("a");
  const RankingQuality quality = judge(ranked, {{"a", 1}});
  EXPECT_DOUBLE_EQ(quality.ndcg_10, 0);
  EXPECT_NEAR(quality.reciprocal_rank, 1.0 / 11, 1e-12);
}

}  // namespace
}  // namespace knap::index
