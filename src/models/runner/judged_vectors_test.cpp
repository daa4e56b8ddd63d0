#include "runner/judged_vectors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "test_folder.hpp"

namespace knap::models::runner {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class JudgedVectorsTest : public testing::Test {
 protected:
  void write(std::string_view qrels) const {
    folder_.write("corpus.jsonl",
                  "{\"_id\": \"a\", \"title\": \"A\", \"text\": \"one\\nline\"}\n"
                  "{\"_id\": \"b\", \"text\": \"two\"}\n{\"_id\": \"c\", \"text\": \"three\"}\n");
    folder_.write("queries.jsonl",
                  "{\"_id\": \"q\", \"text\": \"?\"}\n{\"_id\": \"r\", \"text\": \"!\"}\n");
    folder_.write("qrels/test.tsv", qrels);
  }
  TestFolder folder_;
};

TEST_F(JudgedVectorsTest, TakesJudgedDocumentsFirstAndJudgedQueriesOnly) {
  write("query-id\tcorpus-id\tscore\nq\tc\t1\nr\ta\t0\n");
  const auto judged = read_judged_documents(folder_.path(), 2);
  ASSERT_TRUE(judged) << judged.error().message;
  EXPECT_THAT(judged->documents, ElementsAre("three", "A. one line"));
  EXPECT_THAT(judged->queries, ElementsAre("?"));
  EXPECT_EQ(judged->grades.front().at(0), 1);
}

TEST_F(JudgedVectorsTest, NamesTheLineThatIsWrong) {
  write("query-id\tcorpus-id\tscore\nq\tc\n");
  const auto wrong = read_judged_documents(folder_.path(), 2);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(wrong.error().message, HasSubstr("test.tsv line 2: three values"));
  write("q\tc\t1\nq\tb\tx\n");
  EXPECT_THAT(read_judged_documents(folder_.path(), 2).error().message,
              HasSubstr("line 2: the score is no whole number"));
  write("q\tunknown\t1\n");
  EXPECT_THAT(read_judged_documents(folder_.path(), 2).error().message,
              HasSubstr("no judged query"));
  EXPECT_EQ(read_judged_documents(folder_.path() / "none", 2).error().code, ErrorCode::kNotFound);
}

TEST_F(JudgedVectorsTest, MeasuresTheRankOfWhatAnswers) {
  write("q\tb\t1\n");
  const auto judged = read_judged_documents(folder_.path(), 3);
  ASSERT_TRUE(judged);
  // The documents b, a, c and the query, in two dimensions.
  EXPECT_DOUBLE_EQ(mean_ndcg_10(*judged, {1, 0, 0, 1, 0, 1, 1, 0}, 2), 1);
  EXPECT_DOUBLE_EQ(mean_ndcg_10(*judged, {.5F, 0, 1, 0, 0, 1, 1, 0}, 2), 1 / std::log2(3));
}

}  // namespace
}  // namespace knap::models::runner
