#include "question.hpp"

#include <gtest/gtest.h>

namespace knap::answer {
namespace {

float rarity(std::string_view term) { return term == "\x01" || term == "zzyzx" ? 6.0F : 3.0F; }

std::vector<std::string> stems(const Question& question) {
  std::vector<std::string> out;
  for (const QuestionTerm& term : question.terms) out.push_back(term.stem);
  return out;
}

TEST(Question, KeepsContentWordsOnce) {
  WordReader reader("en");
  const Question question =
      read_question("How many towers has the tower of Zzyzx?", "", reader, rarity);
  EXPECT_EQ(stems(question), (std::vector<std::string>{"tower", "zzyzx"}));
  EXPECT_TRUE(question.terms[0].known);
  EXPECT_FALSE(question.terms[1].known);
  EXPECT_GT(question.terms[1].weight, question.terms[0].weight);
  EXPECT_TRUE(question.terms[1].name);
}

TEST(Question, KnowsWhatIsAsked) {
  EXPECT_EQ(what_is_asked("When did it open?"), Expects::kTime);
  EXPECT_EQ(what_is_asked("In what year was it built?"), Expects::kTime);
  EXPECT_EQ(what_is_asked("How many people came when it opened?"), Expects::kNumber);
  EXPECT_EQ(what_is_asked("Who built it?"), Expects::kPerson);
  EXPECT_EQ(what_is_asked("Where is it?"), Expects::kPlace);
  EXPECT_EQ(what_is_asked("Why?"), Expects::kAnything);
  EXPECT_EQ(what_is_asked("Wann wurde sie eröffnet?"), Expects::kTime);
  EXPECT_EQ(what_is_asked("Wie viele Türme hat sie?"), Expects::kNumber);
  EXPECT_EQ(what_is_asked("In welchem Jahr war das?"), Expects::kTime);
  EXPECT_EQ(what_is_asked("Wer hat sie gebaut?"), Expects::kPerson);
  EXPECT_EQ(what_is_asked("谁建造了它？"), Expects::kPerson);
}

TEST(Question, BorrowsOnlyWhenItCannotStandAlone) {
  const std::vector<models::ChatMessage> history{{"user", "Who built the tower?"},
                                                 {"assistant", "Ann."}};
  EXPECT_EQ(borrow_from_history("When was it finished?", history), "Who built the tower?");
  EXPECT_EQ(borrow_from_history("Why?", history), "Who built the tower?");
  EXPECT_EQ(borrow_from_history("And in Germany?", history), "Who built the tower?");
  EXPECT_EQ(borrow_from_history("What is the population of Berlin?", history), "");
  EXPECT_EQ(borrow_from_history("When was it finished?", {}), "");
}

TEST(Question, LooksAtTwentyTurnsOnly) {
  std::vector<models::ChatMessage> history{{"user", "Who built the tower?"}};
  for (int i = 0; i < 20; ++i) history.push_back({"assistant", "Hm."});
  EXPECT_EQ(borrow_from_history("Why?", history), "");
}

TEST(Question, WeighsBorrowedWordsLess) {
  WordReader reader("en");
  const Question question =
      read_question("When was the roof finished?", "Who built the tower?", reader, rarity);
  ASSERT_EQ(question.terms.size(), 4U);
  EXPECT_TRUE(question.terms[3].borrowed);
  EXPECT_LT(question.terms[3].weight, question.terms[0].weight);
  EXPECT_EQ(question.expects, Expects::kTime);
}

TEST(HoldsExpected, LooksForTheKindAskedFor) {
  WordReader reader("en");
  const auto holds = [&](std::string_view asked, const std::string& text) {
    const Question question = read_question(asked, "", reader, rarity);
    const auto words = reader.read(text);
    return holds_expected(question.expects, words, mark_names(words, text, "en"), question);
  };
  EXPECT_EQ(holds("When was it built?", "It was built in 1893."), 1);
  EXPECT_EQ(holds("When was it built?", "It was built of stone."), 0);
  EXPECT_EQ(holds("How many towers stood in 1893?", "In 1893 it had towers."), 0);
  EXPECT_EQ(holds("How many towers stood in 1893?", "In 1893 it had seven towers."), 1);
  EXPECT_EQ(holds("Who built it?", "The mason Ann Lee built it."), 1);
}

}  // namespace
}  // namespace knap::answer
