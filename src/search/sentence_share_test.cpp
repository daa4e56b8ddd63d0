#include <gtest/gtest.h>

#include <vector>

#include "knap/search/index.hpp"

namespace knap::search {
namespace {

std::vector<TermWeight> weigh(std::string_view query, std::string_view language = "en") {
  std::vector<TermWeight> terms;
  for (std::string& term : analyse(query, language)) terms.push_back({std::move(term), 1});
  return terms;
}

TEST(SentenceShare, IsOneWhenASentenceHoldsTheWholeQuery) {
  EXPECT_FLOAT_EQ(best_sentence_share("Rain fell. The red fox jumps over a dog. Then sun.", {},
                                      weigh("fox jumping dogs"), "en"),
                  1);
}

TEST(SentenceShare, CountsOneSentenceOnlyAndEachTermOnce) {
  const auto terms = weigh("fox dog");
  EXPECT_FLOAT_EQ(best_sentence_share("A fox, a fox and a fox. A dog.", {}, terms, "en"), 0.5);
  EXPECT_FLOAT_EQ(best_sentence_share("fox\ndog", {}, terms, "en"), 0.5);
  EXPECT_FLOAT_EQ(best_sentence_share("fox version 1.2 dog", {}, terms, "en"), 1);
}

TEST(SentenceShare, NamesBelongToEachSentence) {
  const std::vector<std::string> names = {"All about foxes", "Food"};
  EXPECT_FLOAT_EQ(
      best_sentence_share("They sleep. They eat mice.", names, weigh("fox eat mice"), "en"), 1);
  EXPECT_FLOAT_EQ(best_sentence_share("Nothing.", names, weigh("fox food"), "en"), 1);
}

TEST(SentenceShare, WeighsTerms) {
  const std::vector<TermWeight> terms = {{"fox", 3}, {"dog", 1}};
  EXPECT_FLOAT_EQ(best_sentence_share("dog. fox", {}, terms, "en"), 0.75);
}

TEST(SentenceShare, KnowsFullStopsOfScriptsWithoutSpaces) {
  const std::vector<TermWeight> terms = {{"机器", 1}, {"笔记", 1}};
  EXPECT_FLOAT_EQ(best_sentence_share("机器学习。我的笔记", {}, terms, "zh"), 0.5);
  EXPECT_FLOAT_EQ(best_sentence_share("机器学习的笔记", {}, terms, "zh"), 1);
}

TEST(SentenceShare, IsNothingWithoutTermsTextOrWeight) {
  EXPECT_FLOAT_EQ(best_sentence_share("fox", {}, {}, "en"), 0);
  EXPECT_FLOAT_EQ(best_sentence_share("", {}, weigh("fox"), "en"), 0);
  const std::vector<TermWeight> weightless = {{"fox", 0}};
  EXPECT_FLOAT_EQ(best_sentence_share("fox", {}, weightless, "en"), 0);
}

TEST(SentenceShare, TakesMoreTermsThanItLooksAt) {
  std::vector<TermWeight> terms;
  for (int i = 0; i < 200; ++i) terms.push_back({"t" + std::to_string(i), 1});
  EXPECT_GT(best_sentence_share("t1 t2 t199", {}, terms, "en"), 0);
}

}  // namespace
}  // namespace knap::search
