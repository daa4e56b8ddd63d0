#include "judged.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace knap::app {
namespace {

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

}  // namespace
}  // namespace knap::app
