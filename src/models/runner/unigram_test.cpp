#include "runner/unigram.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace knap::models::runner {
namespace {

using testing::ElementsAre;

Unigram::Vocabulary small() {
  Unigram::Vocabulary vocabulary;
  vocabulary.pieces = {"<s>", "<pad>", "</s>",     "<unk>", "\u2581", "a",
                       "b",   "ab",    "\u2581ab", "c",     "\u6f22"};
  vocabulary.scores = {0, 0, 0, 0, -2, -3, -3, -4, -3.5F, -5, -6};
  vocabulary.normal = {{U'\t', U" "}, {U'\uff41', U"a"}, {U'\u00ad', U""}, {U'\u00bd', U"a c"}};
  vocabulary.begin = 0;
  vocabulary.pad = 1;
  vocabulary.end = 2;
  vocabulary.unknown = 3;
  return vocabulary;
}

std::vector<std::int32_t> encode(std::string_view text, std::size_t window = 99) {
  static const auto kTokenizer = Unigram::make(small());
  return (*kTokenizer)->encode(text, window).ids;
}

TEST(Unigram, TakesTheLikeliestPieces) {
  EXPECT_THAT(encode("ab"), ElementsAre(0, 8, 2));        // -3.5, not -2 - 4
  EXPECT_THAT(encode("abab"), ElementsAre(0, 8, 7, 2));   // -3.5 - 4
  EXPECT_THAT(encode("ba"), ElementsAre(0, 4, 6, 5, 2));  // no longer piece fits
}

TEST(Unigram, NormalisesAndCollapsesSpaces) {
  EXPECT_THAT(encode("  ab\t\t ab  "), ElementsAre(0, 8, 8, 2));
  EXPECT_THAT(encode("\uff41b"), ElementsAre(0, 8, 2));
  EXPECT_THAT(encode("a\u00adb"), ElementsAre(0, 8, 2)) << "a soft hyphen becomes nothing";
  EXPECT_THAT(encode("\u00bd"), ElementsAre(0, 4, 5, 4, 9, 2)) << "a space may come of it";
  EXPECT_THAT(encode(""), ElementsAre(0, 2));
  EXPECT_THAT(encode(" \t"), ElementsAre(0, 2));
}

TEST(Unigram, JoinsUnknownCharactersAndNeverReadsMarksFromText) {
  EXPECT_THAT(encode("xyz"), ElementsAre(0, 4, 3, 2));
  EXPECT_THAT(encode("axxb"), ElementsAre(0, 4, 5, 3, 6, 2));
  EXPECT_THAT(encode("<s>"), ElementsAre(0, 4, 3, 2));
  EXPECT_THAT(encode("\xff\xfe"), ElementsAre(0, 4, 3, 2)) << "broken UTF-8 is unknown";
}

TEST(Unigram, CutsAtTheWindow) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "ab ";
  EXPECT_THAT(encode(text, 5), ElementsAre(0, 8, 8, 8, 2));
  EXPECT_THAT(encode("ab", 2), ElementsAre(0, 2));
}

TEST(Unigram, TakesLongRunsWithoutSpaces) {
  std::string text;
  for (int i = 0; i < 5'000; ++i) text += "\u6f22";
  const auto ids = encode(text, 10'000);
  EXPECT_EQ(ids.size(), 5'003U);  // begin, the mark of the word, 5,000 characters, end
  EXPECT_EQ(std::ranges::count(ids, 10), 5'000);
}

TEST(Unigram, RefusesBrokenVocabularies) {
  auto outside = small();
  outside.unknown = 99;
  EXPECT_FALSE(Unigram::make(outside));
  auto endless = small();
  endless.scores[5] = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(Unigram::make(endless));
  auto few = small();
  few.scores.pop_back();
  EXPECT_FALSE(Unigram::make(few));
  EXPECT_FALSE(Unigram::make({}));
}

}  // namespace
}  // namespace knap::models::runner
