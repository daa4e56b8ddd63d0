#include "runner/prompt_lookup.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>

namespace knap::models::runner {
namespace {

std::vector<Token> tokens(std::string_view text) { return {text.begin(), text.end()}; }

std::string guessed(const PromptLookup& lookup) {
  const auto guess = lookup.guess();
  return {guess.tokens.begin(), guess.tokens.end()};
}

void write(PromptLookup& lookup, std::string_view text) {
  for (const char token : text) lookup.push(token);
}

TEST(PromptLookup, GuessesWhatFollowedBefore) {
  PromptLookup lookup(tokens("the cellar is damp"));
  EXPECT_EQ(guessed(lookup), "") << "nothing is written yet";
  write(lookup, "A ce");
  EXPECT_EQ(guessed(lookup), "llar is dampA c");
  write(lookup, "llar");
  EXPECT_EQ(guessed(lookup), " is dampA cella");
  write(lookup, "!");
  EXPECT_EQ(guessed(lookup), "");
}

TEST(PromptLookup, TakesTheLongestAndThenTheLatestPlace) {
  PromptLookup longest(tokens("xabc1 zabc2 yabc3 "));
  write(longest, "zabc");
  EXPECT_EQ(guessed(longest).front(), '2');
  PromptLookup latest(tokens("_abc1 _abc2 "));
  write(latest, "_abc");
  EXPECT_EQ(guessed(latest).front(), '2');
}

TEST(PromptLookup, FollowsItsOwnText) {
  PromptLookup lookup({});
  EXPECT_EQ(guessed(lookup), "");
  write(lookup, "a");
  EXPECT_EQ(guessed(lookup), "");
  write(lookup, "baba");
  EXPECT_EQ(guessed(lookup), "ba");
}

TEST(PromptLookup, ChancesFallAndFollowWhatHappens) {
  PromptLookup lookup(tokens("0123456789abcdefghijklmnopqrstuvwxyz"));
  write(lookup, "01");
  const auto first = lookup.guess();
  ASSERT_EQ(first.tokens.size(), kGuessMax);
  ASSERT_EQ(first.chances.size(), first.tokens.size());
  EXPECT_TRUE(std::ranges::is_sorted(first.chances, std::greater<>()));
  EXPECT_THAT(first.chances, testing::Each(testing::AllOf(testing::Gt(0), testing::Lt(1))));
  write(lookup, "23456789");
  EXPECT_GT(lookup.guess().chances.front(), first.chances.front()) << "a longer match";
  // A text that repeats pairs only: each guess after a pair is wrong.
  PromptLookup wrong(tokens("ab1ab2ab3"));
  const double before = [&] {
    write(wrong, "ab");
    return wrong.guess().chances.front();
  }();
  for (const char* each : {"x", "ab", "y", "ab", "z", "ab"}) write(wrong, each);
  EXPECT_LT(wrong.guess().chances.front(), before);
}

TEST(PromptLookup, TrustsItselfLittleWhereItCounts) {
  PromptLookup lookup({});
  double promised = 0;
  for (int number = 1'000; number < 1'200; ++number) {
    write(lookup, std::to_string(number) + ", ");
    if (number < 1'100) continue;
    const auto chances = lookup.guess().chances;
    if (chances.size() >= 6) promised += chances[5];
  }
  EXPECT_LT(promised / 100, 0.35) << "the whole next number is hardly ever the one before";
  // What repeats whole is trusted again.
  for (int i = 0; i < 10; ++i) write(lookup, "the same old song. ");
  EXPECT_GT(lookup.guess().chances[5], 0.5);
}

}  // namespace
}  // namespace knap::models::runner
