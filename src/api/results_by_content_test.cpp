#include "results_by_content.hpp"

#include <gmock/gmock.h>

namespace knap::api {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ResultsByContent, GivesBackWhatAnEditLeftBehind) {
  ResultsByContent results;
  EXPECT_THAT(results.add("a", 1, 10), IsEmpty());
  EXPECT_THAT(results.add("a", 1, 11), IsEmpty());
  EXPECT_THAT(results.add("b", 7, 20), IsEmpty());
  EXPECT_THAT(results.add("a", 2, 12), ElementsAre(10, 11));
  EXPECT_THAT(results.add("a", 2, 13), IsEmpty());
  EXPECT_THAT(results.add("b", 8, 21), ElementsAre(20));
}

TEST(ResultsByContent, AResultThatComesTooLateIsGoneItself) {
  ResultsByContent results;
  results.add("a", 2, 12);
  EXPECT_THAT(results.add("a", 1, 10), ElementsAre(10));
  EXPECT_THAT(results.add("a", 3, 13), ElementsAre(12));
}

TEST(ResultsByContent, HasLimits) {
  ResultsByContent results;
  for (std::size_t i = 0; i < ResultsByContent::kVaultsMax + 10; ++i)
    EXPECT_THAT(results.add(std::to_string(i), 1, i), IsEmpty());
  EXPECT_THAT(results.add("1000", 2, 1), IsEmpty()) << "not followed";
  for (std::size_t i = 0; i < ResultsByContent::kResultsMax + 10; ++i) results.add("0", 2, i);
  EXPECT_EQ(results.add("0", 3, 1).size(), ResultsByContent::kResultsMax);
}

}  // namespace
}  // namespace knap::api
