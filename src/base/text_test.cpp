#include "knap/base/text.hpp"

#include <gtest/gtest.h>

namespace knap::text {
namespace {

TEST(Text, FoldRemovesCaseAndDiacriticsButKeepsOtherScripts) {
  EXPECT_EQ(fold("Élan VITAL"), "elan vital");
  EXPECT_EQ(fold("Straße"), "strasse");
  EXPECT_EQ(fold("東京"), "東京");
  EXPECT_EQ(fold("हिन्दी"), "हिन्दी");
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
