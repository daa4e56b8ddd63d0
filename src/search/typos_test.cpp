#include "typos.hpp"

#include <gmock/gmock.h>

#include "test_notes.hpp"

namespace knap::search {
namespace {

using testing::IsEmpty;
using testing_notes::ids;
using testing_notes::note;
using testing_notes::search;
using testing_notes::upsert;

TEST(Typos, DistanceCountsSlipsOfTyping) {
  EXPECT_EQ(edit_distance("garden", "garden", 2), 0U);
  EXPECT_EQ(edit_distance("garden", "gardn", 2), 1U);
  EXPECT_EQ(edit_distance("garden", "gadren", 2), 1U);
  EXPECT_EQ(edit_distance("garden", "gaarden", 2), 1U);
  EXPECT_EQ(edit_distance("garden", "gerdan", 2), 2U);
  EXPECT_EQ(edit_distance("garden", "kitchen", 2), 3U);
  EXPECT_EQ(edit_distance("müller", "muller", 1), 1U);
  EXPECT_EQ(edit_distance("", "ab", 2), 2U);
}

class TypoSearch : public ::testing::Test {
 protected:
  TypoSearch() {
    index_->apply(upsert({note(1, "Garden", {"Tomatoes grow in the garden."}),
                          note(2, "Kitchen", {"Bread and tomatoes."}),
                          note(3, "Versions", {"release v1.2.3 of knapsack"}),
                          note(4, "Garten", {"Im Garten wachsen Kräuter."}, "de")}));
  }
  std::unique_ptr<Index> index_ = Index::create({.dimensions = 4});
};

TEST_F(TypoSearch, FindsAMisspeltWordAndSaysSo) {
  const auto result = search(*index_, "tomatose gardn");
  ASSERT_FALSE(result.hits.empty());
  EXPECT_EQ(ids(result).front(), 1U);
  ASSERT_EQ(result.corrections.size(), 2U);
  EXPECT_EQ(result.corrections[0].from, "tomatose");
  EXPECT_EQ(result.corrections[1].from, "gardn");
  EXPECT_THAT(result.corrections[1].to, testing::Contains("garden"));
}

TEST_F(TypoSearch, LeavesKnownWordsShortWordsAndNumbersAlone) {
  EXPECT_THAT(search(*index_, "garden").corrections, IsEmpty());
  EXPECT_THAT(search(*index_, "gar").corrections, IsEmpty());  // the beginning of a known word
  EXPECT_THAT(search(*index_, "brx").corrections, IsEmpty());
  EXPECT_THAT(search(*index_, "v1.2.4 x").corrections, IsEmpty());
  EXPECT_THAT(search(*index_, "\"gardn\"").hits, IsEmpty());  // quoted: as written
  EXPECT_THAT(search(*index_, "xylophone").hits, IsEmpty());
}

TEST_F(TypoSearch, GivesTheSameWithAndWithoutPruning) {
  Query query;
  query.text = "bred tomatose the";
  query.mode = Mode::kKeyword;
  const auto pruned = index_->search(query, Deadline::never());
  query.explain = true;
  const auto all = index_->search(query, Deadline::never());
  ASSERT_TRUE(pruned && all);
  EXPECT_EQ(ids(*pruned), ids(*all));
  EXPECT_EQ(pruned->hits[0].score, all->hits[0].score);
}

}  // namespace
}  // namespace knap::search
