#include "judged.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

namespace knap::app {
namespace {

using Paths = std::vector<std::string>;

class JudgedTest : public testing::Test {
 protected:
  ~JudgedTest() override { std::filesystem::remove(file_); }
  Result<std::vector<JudgedQuestion>> read(const std::string& text) {
    std::ofstream(file_) << text;
    return read_judged(file_);
  }
  const std::filesystem::path file_ =
      std::filesystem::path(testing::TempDir()) / "knap_judged_test.yaml";
};

TEST_F(JudgedTest, ReadsQuestionsWithNotesAndGrades) {
  const auto questions = read(
      "questions:\n  - query: when is the lease due\n    notes: [Home/Lease.md, {path: B.md, "
      "grade: 3}]\n"
      "    filter: 'tag:#home'\n  - {query: x, notes: [Y.md], vault: work}\n");
  ASSERT_TRUE(questions) << questions.error().message;
  ASSERT_EQ(questions->size(), 2U);
  EXPECT_EQ(questions->front().query, "when is the lease due");
  EXPECT_EQ(questions->front().filter, "tag:#home");
  EXPECT_EQ(questions->front().grades,
            (std::map<std::string, int>{{"B.md", 3}, {"Home/Lease.md", 1}}));
  EXPECT_EQ(questions->back().vault, "work");
}

TEST_F(JudgedTest, SaysWhereAndWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"questions: []", "line 1"},
      {"questions:\n  - query: x\n", "line 2: 'notes' names no note"},
      {"questions:\n  - query: x\n    note: [A.md]\n", "line 3: unknown key 'note'"},
      {"questions:\n  - {query: x, notes: [{path: A.md, grade: 9}]}\n", "from 1 to 3"},
      {"questions:\n  - {query: x, notes: [", "not valid YAML"},
      {"just text", "expected 'questions:'"},
  };
  for (const auto& [text, said] : cases) {
    const auto questions = read(text);
    ASSERT_FALSE(questions) << text;
    EXPECT_NE(questions.error().message.find(said), std::string::npos) << questions.error().message;
    EXPECT_NE(questions.error().message.find(file_.string()), std::string::npos);
  }
}

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
}  // namespace knap::app
