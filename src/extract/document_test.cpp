#include "knap/extract/document.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace knap::extract {
namespace {

Document sample() {
  Document document;
  document.title = "Title";
  document.author = "Ada";
  document.created = "2024-01-31";
  document.places = 3;
  document.warnings = {"page 2 could not be read"};
  document.blocks = {{Block::Kind::kHeading, 2, 1, "Heading"},
                     {Block::Kind::kParagraph, 0, 1, "Text"},
                     {Block::Kind::kCode, 0, 3, "a\nb"}};
  return document;
}

TEST(Document, ComesBackAsItWas) {
  const auto again = decode(encode(sample()));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->title, "Title");
  EXPECT_EQ(again->author, "Ada");
  EXPECT_EQ(again->created, "2024-01-31");
  EXPECT_EQ(again->places, 3);
  EXPECT_THAT(again->warnings, testing::ElementsAre("page 2 could not be read"));
  ASSERT_EQ(again->blocks.size(), 3);
  EXPECT_EQ(again->blocks[0].kind, Block::Kind::kHeading);
  EXPECT_EQ(again->blocks[0].level, 2);
  EXPECT_EQ(again->blocks[2].place, 3);
  EXPECT_EQ(again->blocks[2].text, "a\nb");
}

TEST(Document, RefusesDamagedBytes) {
  const std::string bytes = encode(sample());
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    const auto cut = decode(std::string_view(bytes).substr(0, length));
    ASSERT_FALSE(cut) << length;
    EXPECT_EQ(cut.error().code, ErrorCode::kCorruptData);
  }
  EXPECT_FALSE(decode(bytes + "x"));
}

TEST(Document, RefusesLineEndsOutsideOfCode) {
  Document document = sample();
  document.blocks[1].text = "two\nlines";
  EXPECT_FALSE(decode(encode(document)));
}

TEST(CleanLine, LeavesWhatAReaderSees) {
  EXPECT_EQ(clean_line("  a\t b\r\n c  "), "a b c");
  EXPECT_EQ(clean_line("hy\u00ADphen \u200Babc\u202E"), "hyphen abc");
  EXPECT_EQ(clean_line("e\u0301"), "é");
  EXPECT_EQ(clean_line("\xFFx"), "\uFFFDx");
  EXPECT_EQ(clean_line("می\u200Cخواهم"), "می\u200Cخواهم");
}

}  // namespace
}  // namespace knap::extract
