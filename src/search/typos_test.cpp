#include "typos.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>
#include <set>

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

/// The recurrence as it stands in textbooks, of all of both texts.
std::uint32_t plain_distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::uint32_t>> d(a.size() + 1, std::vector<std::uint32_t>(b.size() + 1));
  for (std::uint32_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::uint32_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min(
          {d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

TEST(EditDistance, AgreesWithThePlainRecurrence) {
  std::mt19937 random(7);
  const auto word = [&] {
    std::string text(random() % 9, 'a');
    for (char& c : text) c = static_cast<char>('a' + random() % 3);
    return text;
  };
  for (int i = 0; i < 20'000; ++i) {
    const std::string a = word(), b = word();
    for (const std::uint32_t most : {1U, 2U})
      ASSERT_EQ(edit_distance(a, b, most), std::min(plain_distance(a, b), most + 1))
          << a << " " << b;
  }
}

TEST(NearTerms, AreAllThatAreNear) {
  std::mt19937 random(11);
  std::set<std::string> words;
  while (words.size() < 300) {
    std::string text(4 + random() % 6, 'a');
    for (std::size_t i = 1; i < text.size(); ++i) text[i] = "bdkmrtz"[random() % 7];  // no stems
    words.insert(std::move(text));
  }
  std::string all;
  for (const std::string& each : words) all += each + " ";
  VectorStore vectors(4);
  const NoteInput input = note(1, "Words", {all});
  const NoteInput* const notes[] = {&input};
  State state;
  state.segments.push_back({.segment = build_segment(notes, vectors)});
  for (const std::string& each : words) {
    std::string wrong = each;
    wrong[2] = 'q';
    const std::uint32_t most = wrong.size() < 6 ? 1 : 2;
    std::uint32_t least = most + 1;
    for (const std::string& other : words) least = std::min(least, plain_distance(wrong, other));
    const auto near = find_near_terms(state, wrong);
    ASSERT_FALSE(near.empty()) << wrong;
    EXPECT_EQ(near.front().distance, least) << wrong;
  }
}

class TypoSearch : public ::testing::Test {
 protected:
  TypoSearch() {
    index_->apply(upsert({note(1, "Garden", {"Tomatoes grow in the garden."}),
                          note(2, "Kitchen", {"Bread and tomatoes."}),
                          note(3, "Versions", {"release v1.2.3 of knapsack"}),
                          note(4, "Garten", {"Im Garten wachsen Kräuter."}, "de"),
                          note(5, "Peace", {"Gandhi walked to the sea."})}));
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

TEST_F(TypoSearch, FindsAWordOfSixLettersWithALetterMoved) {
  const auto result = search(*index_, "ghandi");
  EXPECT_THAT(ids(result), testing::ElementsAre(5U));
  EXPECT_THAT(search(*index_, "bgead").corrections, testing::SizeIs(1));  // bread, one slip
  EXPECT_THAT(search(*index_, "bgeat").hits, IsEmpty());                  // two, in five letters
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
