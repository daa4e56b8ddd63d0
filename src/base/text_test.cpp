#include "knap/base/text.hpp"

#include <random>

#include <gtest/gtest.h>

namespace knap::text {
namespace {

TEST(Text, FoldRemovesCaseAndDiacriticsButKeepsOtherScripts) {
  EXPECT_EQ(fold("Élan VITAL"), "elan vital");
  EXPECT_EQ(fold("Straße"), "strasse");
  EXPECT_EQ(fold("東京"), "東京");
  EXPECT_EQ(fold("हिन्दी"), "हिन्दी");
}

/// A schwa is folded by the tables alone, and so is all of a text that holds one.
std::string by_the_tables(const std::string& utf8) {
  const std::string folded = fold_case(utf8 + "ə");
  return folded.substr(0, folded.size() - std::string("ə").size());
}

TEST(Text, QuickFoldingOfEveryCodePointEqualsTheTables) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string utf8;
    append(utf8, c);
    ASSERT_EQ(fold_case(utf8), by_the_tables(utf8)) << "U+" << std::hex << static_cast<unsigned>(c);
  }
}

TEST(Text, QuickFoldingOfNeighboursEqualsTheTables) {
  std::mt19937 random(1);
  const std::pair<char32_t, char32_t> ranges[] = {
      {0x20, 0x7E},     {0xA0, 0x17F},    {0x300, 0x36F},   {0x400, 0x460},    {0x1100, 0x11FF},
      {0x3041, 0x30FF}, {0x4E00, 0x4E80}, {0xAC00, 0xAC80}, {0x1F300, 0x1F400}};
  for (int round = 0; round < 20'000; ++round) {
    std::string utf8;
    for (int i = 0; i < 4; ++i) {
      const auto& [first, last] = ranges[random() % std::size(ranges)];
      append(utf8, first + static_cast<char32_t>(random() % (last - first + 1)));
    }
    ASSERT_EQ(fold_case(utf8), by_the_tables(utf8)) << utf8;
  }
}

/// A vowel of Devanagari is folded by the tables alone, and so is all of a text that holds one.
std::string folded_by_the_tables(const std::string& utf8) {
  const std::string folded = fold(utf8 + "\u0905");
  return folded.substr(0, folded.size() - std::string("\u0905").size());
}

TEST(Text, QuickFoldingWithoutMarksEqualsTheTables) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string utf8;
    append(utf8, c);
    ASSERT_EQ(fold(utf8), folded_by_the_tables(utf8)) << "U+" << std::hex << unsigned{c};
  }
  std::mt19937 random(2);
  const std::pair<char32_t, char32_t> ranges[] = {
      {0x20, 0x7E},     {0xA0, 0x2FF},    {0x300, 0x36F},   {0x370, 0x530},   {0x1100, 0x11FF},
      {0x3041, 0x30FF}, {0x4E00, 0x4E80}, {0xAC00, 0xAC80}, {0x1E00, 0x1EFF}, {0x3099, 0x309C}};
  for (int round = 0; round < 50'000; ++round) {
    std::string utf8;
    for (int i = 0; i < 4; ++i) {
      const auto& [first, last] = ranges[random() % std::size(ranges)];
      append(utf8, first + static_cast<char32_t>(random() % (last - first + 1)));
    }
    ASSERT_EQ(fold(utf8), folded_by_the_tables(utf8)) << utf8;
  }
}

TEST(Text, RepairReplacesIllFormedPartsAndKeepsLines) {
  EXPECT_EQ(repair_utf8("a\xFF\nb"), "a\xEF\xBF\xBD\nb");
  EXPECT_EQ(repair_utf8("\xE2\x82"), "\xEF\xBF\xBD");
  EXPECT_FALSE(is_valid_utf8("\xC0\xAF"));          // overlong
  EXPECT_FALSE(is_valid_utf8("\xED\xA0\x80"));      // surrogate
  EXPECT_FALSE(is_valid_utf8("\xF4\x90\x80\x80"));  // beyond U+10FFFF
}

TEST(Text, NfcJoinsDecomposedLetters) { EXPECT_EQ(nfc("e\xCC\x81"), "\xC3\xA9"); }

TEST(Text, TruncateNeverSplitsACodePoint) { EXPECT_EQ(truncate("a€b", 3), "a"); }

TEST(Text, EditDistanceStopsAtTheLimit) {
  EXPECT_EQ(edit_distance("filter", "fliter", 3), 2U);
  EXPECT_GT(edit_distance("abc", "xyzuvw", 2), 2U);
}

}  // namespace
}  // namespace knap::text
