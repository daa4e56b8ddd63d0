#include "statements.hpp"

#include <gtest/gtest.h>

namespace knap::answer {
namespace {

using Marks = std::vector<std::uint32_t>;
using Strings = std::vector<std::string>;

Strings through(std::string_view words, std::size_t piece, bool finished = true) {
  StatementGate gate("en");
  Strings all;
  for (std::size_t at = 0; at < words.size(); at += piece) {
    for (std::string& one : gate.add(words.substr(at, piece))) all.push_back(std::move(one));
  }
  for (std::string& one : gate.finish(finished)) all.push_back(std::move(one));
  return all;
}

TEST(Statement, TakesMarksOut) {
  EXPECT_EQ(read_statement("It is red [1].", 2).text, "It is red.");
  EXPECT_EQ(read_statement("It is red [1, 2].", 2).marks, (Marks{1, 2}));
  EXPECT_EQ(read_statement("It is red. [2][1][2]", 2).marks, (Marks{1, 2}));
  EXPECT_EQ(read_statement("It is red [Note 1].", 2).marks, (Marks{1}));
}

TEST(Statement, DropsNumbersOutOfRange) {
  const Statement statement = read_statement("It is red [7] [0] [99999999999].", 3);
  EXPECT_TRUE(statement.marks.empty());
  EXPECT_EQ(statement.text, "It is red.");
}

TEST(Statement, KeepsBracketsThatAreNoMarks) {
  EXPECT_EQ(read_statement("Use [x] and [a b].", 3).text, "Use [x] and [a b].");
}

TEST(StatementGate, GivesTheSameForAnyPieces) {
  const std::string words =
      "The tower is high. [1] It stands in Bonn [2]. Mr. Lee built it.\n- A list item\nEnd.";
  const Strings expected{"The tower is high. [1]", "It stands in Bonn [2].", "Mr. Lee built it.",
                         "- A list item", "End."};
  for (std::size_t piece = 1; piece < 30; ++piece)
    EXPECT_EQ(through(words, piece), expected) << piece;
}

TEST(StatementGate, HoldsASentenceUntilItsMarkIsSure) {
  StatementGate gate("en");
  EXPECT_TRUE(gate.add("The tower is high.").empty());
  EXPECT_TRUE(gate.add(" [").empty());
  EXPECT_TRUE(gate.add("1]").empty());
  EXPECT_EQ(gate.add(" It"), Strings{"The tower is high. [1]"});
}

TEST(StatementGate, DropsASentenceThatWasCutOff) {
  EXPECT_EQ(through("One is whole. The next one is", 4, false), Strings{"One is whole."});
  EXPECT_EQ(through("One is whole. The next too.", 4, false),
            (Strings{"One is whole.", "The next too."}));
  EXPECT_EQ(through("No full stop", 4, true), Strings{"No full stop"});
}

TEST(StatementGate, StaysBounded) {
  StatementGate gate("en");
  const std::string piece(1'000, 'x');
  for (int i = 0; i < 100; ++i) gate.add(piece);
  std::size_t bytes = 0;
  for (const std::string& one : gate.finish(true)) bytes += one.size();
  EXPECT_LE(bytes, StatementGate::kMaxBytes);
}

TEST(SaysUnknown, KnowsTheUsualPhrases) {
  EXPECT_TRUE(says_unknown("Not in the notes."));
  EXPECT_TRUE(says_unknown("The excerpts do not mention it."));
  EXPECT_FALSE(says_unknown("The tower is 40 metres high."));
}

}  // namespace
}  // namespace knap::answer
