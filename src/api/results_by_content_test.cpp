#include "results_by_content.hpp"

#include <gmock/gmock.h>

namespace knap::api {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ResultsByContent, GivesBackWhatEditsLeftBehind) {
  ResultsByContent results;
  EXPECT_THAT(results.add("a", "first", 10), IsEmpty());
  EXPECT_THAT(results.add("a", "first", 11), IsEmpty());
  EXPECT_THAT(results.add("b", "other", 20), IsEmpty());
  for (std::size_t i = 1; i < ResultsByContent::kContentsMax; ++i)
    EXPECT_THAT(results.add("a", "edit " + std::to_string(i), 100 + i), IsEmpty());
  EXPECT_THAT(results.add("a", "last", 12), ElementsAre(10, 11));
  EXPECT_THAT(results.add("a", "last", 13), IsEmpty());
  EXPECT_THAT(results.add("a", "one more", 14), ElementsAre(101));
}

TEST(ResultsByContent, AnUndoneEditBringsItsContentBack) {
  ResultsByContent results;
  results.add("a", "first", 10);
  results.add("a", "second", 20);
  results.add("a", "first", 11);
  for (std::size_t i = 1; i + 1 < ResultsByContent::kContentsMax; ++i)
    EXPECT_THAT(results.add("a", std::to_string(i), 100 + i), IsEmpty());
  EXPECT_THAT(results.add("a", "x", 30), ElementsAre(20));
  EXPECT_THAT(results.add("a", "y", 31), ElementsAre(10, 11));
}

TEST(ResultsByContent, HasLimits) {
  ResultsByContent results;
  for (std::size_t i = 0; i < ResultsByContent::kVaultsMax + 10; ++i)
    EXPECT_THAT(results.add(std::to_string(i), "", i), IsEmpty());
  for (int i = 0; i < 10; ++i)
    EXPECT_THAT(results.add("1000", std::to_string(i), 1), IsEmpty()) << "not followed";
  for (std::size_t i = 0; i < ResultsByContent::kResultsMax + 10; ++i) results.add("0", "many", i);
  std::size_t gone = 0;
  for (int i = 0; i < 10; ++i) gone = std::max(gone, results.add("0", std::to_string(i), 1).size());
  EXPECT_EQ(gone, ResultsByContent::kResultsMax);
}

}  // namespace
}  // namespace knap::api
