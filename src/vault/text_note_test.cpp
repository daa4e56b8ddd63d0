#include "knap/vault/text_note.hpp"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tokens.hpp"

namespace knap::vault {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using Kind = TextBlock::Kind;

std::string words(int count, const std::string& word = "word") {
  std::string text;
  for (int i = 0; i < count; ++i) text += (i > 0 ? " " : "") + word;
  return text + ".";
}

/// Every passage is lines of the laid out text, in order.
void check(const TextNote& read) {
  std::vector<std::string> lines;
  std::istringstream stream(read.text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  std::uint32_t last = 0;
  for (const Passage& passage : read.note.passages) {
    ASSERT_GE(passage.lines.first, last);
    ASSERT_LE(passage.lines.last, lines.size());
    last = passage.lines.first;
    std::string joined;
    for (std::uint32_t i = passage.lines.first; i <= passage.lines.last; ++i)
      joined += (i > passage.lines.first ? "\n" : "") + lines[i - 1];
    EXPECT_THAT(joined, HasSubstr(passage.text));
    EXPECT_FALSE(passage.plain.empty());
    EXPECT_LE(estimate_tokens(passage.plain), 313U);
  }
}

TEST(TextNote, PutsHeadingsAbovePassagesAndCountsLines) {
  const TextBlock blocks[] = {{Kind::kHeading, 1, 1, "Report"},
                              {Kind::kParagraph, 0, 1, "The zebrafish swims."},
                              {Kind::kHeading, 2, 2, "Costs"},
                              {Kind::kParagraph, 0, 2, "It costs 300 euros."}};
  const TextNote read = read_blocks("a/Report 7.pdf", "", blocks);
  check(read);
  EXPECT_EQ(read.text, "# Report\n\nThe zebrafish swims.\n\n## Costs\n\nIt costs 300 euros.");
  EXPECT_EQ(read.note.type, FileType::kPdf);
  EXPECT_EQ(read.note.name, "Report 7");
  EXPECT_EQ(read.note.title, "Report 7");
  ASSERT_EQ(read.note.passages.size(), 2U);
  EXPECT_EQ(read.note.passages[0].plain, "The zebrafish swims.");
  EXPECT_EQ(read.note.passages[0].place, 1U);
  EXPECT_THAT(read.note.passages[1].headings, ElementsAre("Report", "Costs"));
  EXPECT_EQ(read.note.passages[1].place, 2U);
  EXPECT_EQ(read.note.passages[1].lines, (LineRange{5, 7}));
}

TEST(TextNote, NoPassageReachesOverAPage) {
  std::vector<TextBlock> blocks;
  for (std::uint32_t page = 1; page <= 9; ++page) {
    blocks.push_back({Kind::kParagraph, 0, page, "One short line."});
    blocks.push_back({Kind::kListItem, 0, page, "An item."});
  }
  const TextNote read = read_blocks("x.pdf", "Slides", blocks);
  check(read);
  ASSERT_EQ(read.note.passages.size(), 9U);
  for (std::uint32_t i = 0; i < 9; ++i) EXPECT_EQ(read.note.passages[i].place, i + 1);
  EXPECT_EQ(read.note.title, "Slides");
}

TEST(TextNote, AHeadingAtTheEndOfAPageGoesWithItsTextOnTheNext) {
  const TextBlock blocks[] = {{Kind::kHeading, 1, 1, "Chapter"},
                              {Kind::kParagraph, 0, 2, "Its text."}};
  const TextNote read = read_blocks("x.pdf", "", blocks);
  ASSERT_EQ(read.note.passages.size(), 1U);
  EXPECT_EQ(read.note.passages[0].place, 2U);
}

TEST(TextNote, CutsLongParagraphsAtSentences) {
  std::string text;
  for (int i = 0; i < 120; ++i) text += "Sentence number " + std::to_string(i) + " says little. ";
  text.pop_back();
  const TextBlock block{Kind::kParagraph, 0, 3, text};
  const TextNote read = read_blocks("x.pdf", "", {&block, 1});
  check(read);
  ASSERT_GT(read.note.passages.size(), 2U);
  for (const Passage& passage : read.note.passages) {
    EXPECT_THAT(passage.text, StartsWith("Sentence number"));
    EXPECT_TRUE(passage.text.ends_with("little."));
    EXPECT_EQ(passage.place, 3U);
  }
}

TEST(TextNote, CutsTextWithoutSpaces) {
  std::string text;
  for (int i = 0; i < 900; ++i) text += "\xE6\xBC\xA2";
  const TextBlock block{Kind::kParagraph, 0, 1, text};
  const TextNote read = read_blocks("x.pdf", "", {&block, 1});
  check(read);
  std::string all;
  for (const Passage& passage : read.note.passages) all += passage.plain;
  EXPECT_EQ(all, text);
}

TEST(TextNote, LaterPartsOfATableRepeatItsHead) {
  std::vector<std::string> rows{"Name | Price"};
  for (int i = 0; i < 120; ++i) rows.push_back("thing " + std::to_string(i) + " | 12 euros");
  std::vector<TextBlock> blocks;
  for (const std::string& row : rows) blocks.push_back({Kind::kTableRow, 0, 1, row});
  const TextNote read = read_blocks("x.pdf", "", blocks);
  ASSERT_GT(read.note.passages.size(), 1U);
  for (const Passage& passage : read.note.passages) {
    EXPECT_THAT(passage.plain, StartsWith("Name | Price\n"));
    EXPECT_EQ(passage.kind, Passage::Kind::kTable);
    EXPECT_THAT(passage.text, StartsWith("| "));
  }
}

TEST(TextNote, KeepsLinesOfCodeAndReadsNoMarkdown) {
  const TextBlock blocks[] = {{Kind::kCode, 0, 1, "int a;\n\nint b;"},
                              {Kind::kParagraph, 0, 1, "[[Link]] #tag *star*"}};
  const TextNote read = read_blocks("x.pdf", "", blocks);
  check(read);
  EXPECT_EQ(read.text, "int a;\n\nint b;\n\n[[Link]] #tag *star*");
  EXPECT_THAT(read.note.links, IsEmpty());
  EXPECT_THAT(read.note.tags, IsEmpty());
  ASSERT_EQ(read.note.passages.size(), 1U);
  EXPECT_THAT(read.note.passages[0].plain, HasSubstr("[[Link]] #tag *star*"));
}

TEST(TextNote, NothingGivesNoPassage) {
  const TextNote read = read_blocks("x.pdf", "", {});
  EXPECT_THAT(read.text, IsEmpty());
  EXPECT_THAT(read.note.passages, IsEmpty());
  EXPECT_THAT(
      read_blocks("x.pdf", "", std::vector<TextBlock>{{Kind::kCode, 0, 1, ""}}).note.passages,
      IsEmpty());
  EXPECT_FALSE(read_blocks("x.pdf", "", std::vector<TextBlock>{{Kind::kParagraph, 0, 1, words(3)}})
                   .note.passages.empty());
}

}  // namespace
}  // namespace knap::vault
