#include "ocr.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace knap::extract {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string word(int block, int paragraph, std::string_view confidence, std::string_view text) {
  return "5\t1\t" + std::to_string(block) + "\t" + std::to_string(paragraph) +
         "\t1\t1\t10\t10\t20\t20\t" + std::string(confidence) + "\t" + std::string(text) + "\n";
}

TEST(Ocr, JoinsTheWordsOfAParagraphAndKeepsTheirConfidence) {
  const std::string tsv =
      "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\t"
      "text\n1\t1\t0\t0\t0\t0\t0\t0\t100\t100\t-1\t\n" +
      word(1, 1, "96.5", "The") + word(1, 1, "80", "ferry") + word(1, 1, "12.9", "~|}") +
      word(1, 2, "90", "Next") + word(2, 1, "91", " ");
  const OcrText read = read_tsv(tsv, 3);
  ASSERT_THAT(read.blocks, SizeIs(2));
  EXPECT_EQ(read.blocks[0].text, "The ferry");
  EXPECT_EQ(read.blocks[0].place, 3U);
  EXPECT_EQ(read.blocks[1].text, "Next");
  EXPECT_EQ(read.words, 3U);
  EXPECT_EQ(read.confidence_sum, 96U + 80U + 90U);
}

TEST(Ocr, OddLinesGiveNothing) {
  for (const char* tsv : {"", "\n\n", "5", "5\t1\t1", "5\t\t\t\t\t\t\t\t\t\tx\tword",
                          "5\t1\t1\t1\t1\t1\t1\t1\t1\t1\t99999999999\tword"})
    EXPECT_THAT(read_tsv(tsv, 1).blocks, IsEmpty()) << tsv;
  // A tab belongs to the text: there is no column after it.
  EXPECT_EQ(read_tsv(word(1, 1, "99", "a\tb"), 1).blocks.at(0).text, "a b");
}

}  // namespace
}  // namespace knap::extract
