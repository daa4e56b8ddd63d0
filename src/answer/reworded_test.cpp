#include "knap/answer/reworded.hpp"

#include <gtest/gtest.h>

namespace knap::answer {
namespace {

void expect_same(std::string_view a, std::string_view b) {
  EXPECT_FALSE(reworded_print(a).empty()) << a;
  EXPECT_EQ(reworded_print(a), reworded_print(b)) << a << " / " << b;
}
void expect_other(std::string_view a, std::string_view b) {
  const std::string print = reworded_print(a);
  EXPECT_TRUE(print.empty() || print != reworded_print(b)) << a << " / " << b;
}

TEST(Reworded, CourtesyArticlesAndFormsOfWordsDoNotMatter) {
  expect_same("How do I leave a folder out of the index?", "how can I leave folders out of index");
  expect_same("Where was the treaty signed?", "Please tell me where the treaty was signed.");
  expect_same("Which files are indexed?", "What files are indexed?");
  expect_same("When did the 1,000 ships sail?", "When did the 1000 ships sail?");
  expect_same("Wo wurde der Vertrag unterschrieben?", "wo wurde der Vertrag unterschrieben");
}

TEST(Reworded, WhatChangesTheAnswerDoes) {
  expect_other("Who won in 2019?", "Who won in 2020?");
  expect_other("Which files are indexed?", "Which files are not indexed?");
  expect_other("When did Ada meet Charles?", "When did Charles meet Ada?");
  expect_other("Trains from Oslo to Bergen?", "Trains to Oslo from Bergen?");
  expect_other("What happened before the war?", "What happened after the war?");
  expect_other("When was the bridge built?", "Where was the bridge built?");
  expect_other("How many people live there?", "How do people live there?");
  expect_other("What is more expensive, tea or coffee?", "What is less expensive, tea or coffee?");
  expect_other("Which words does Anna use?", "Which words does Annas use?");
  expect_other("Wie viel kostet es mit Milch?", "Wie viel kostet es ohne Milch?");
  expect_other("Where is the kettle?", "Wo ist the kettle?");
}

TEST(Reworded, SaysNothingOfQuestionsThatCannotStandAlone) {
  EXPECT_EQ(reworded_print(""), "");
  EXPECT_EQ(reworded_print("Why?"), "");
  EXPECT_EQ(reworded_print("And what is it?"), "");
  EXPECT_EQ(reworded_print(std::string(2'000, '\xff')), "");
  std::string endless;
  for (int i = 0; i < 200; ++i) endless += "kettle ";
  EXPECT_EQ(reworded_print(endless), "");
}

}  // namespace
}  // namespace knap::answer
