#include "word_errors.hpp"

#include <gtest/gtest.h>

namespace knap::models {
namespace {

std::size_t errors(std::string_view said, std::string_view heard) {
  return count_word_errors(said, heard).errors;
}

TEST(WordErrorsTest, CaseAndPunctuationDoNotCount) {
  EXPECT_EQ(errors("The old library -- closes, early!", "the old LIBRARY closes early."), 0U);
  EXPECT_EQ(errors("It doesn't matter", "it doesn\xE2\x80\x99t matter"), 0U);
  EXPECT_EQ(errors("", ""), 0U);
}

TEST(WordErrorsTest, CountsReplacedMissingAndAddedWords) {
  EXPECT_EQ(errors("a red car", "a blue car"), 1U);
  EXPECT_EQ(errors("a red car", "a car"), 1U);
  EXPECT_EQ(errors("a red car", "a very red car"), 1U);
  EXPECT_EQ(errors("a red car", ""), 3U);
  EXPECT_EQ(errors("", "thank you"), 2U);
  EXPECT_EQ(errors("one two three four", "two three four five"), 2U);
}

TEST(WordErrorsTest, RateIsOfTheWordsSaid) {
  WordErrors sum = count_word_errors("a red car", "a blue car");
  EXPECT_EQ(sum.words, 3U);
  sum += count_word_errors("yes", "yes");
  EXPECT_DOUBLE_EQ(sum.rate(), 0.25);
  EXPECT_DOUBLE_EQ(WordErrors{}.rate(), 0);
}

}  // namespace
}  // namespace knap::models
