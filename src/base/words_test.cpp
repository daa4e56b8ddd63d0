#include "knap/base/words.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace knap::text {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(FoldedWords, AreRunsOfLettersAndDigitsWithoutCaseAndAccents) {
  EXPECT_THAT(folded_words("  Caf\xC3\xA9-Noir, 2nd \xE2\x80\x9C\xC3\x84ra\xE2\x80\x9D"),
              ElementsAre("cafe", "noir", "2nd", "ara"));
}

TEST(FoldedWords, OfNothingAreNone) {
  EXPECT_THAT(folded_words(""), IsEmpty());
  EXPECT_THAT(folded_words(" ... "), IsEmpty());
}

TEST(FoldedWords, SurviveIllFormedBytes) {
  EXPECT_THAT(folded_words("a\xFF b"), ElementsAre("a", "b"));
}

}  // namespace
}  // namespace knap::text
