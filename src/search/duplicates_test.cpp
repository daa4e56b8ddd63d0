#include "knap/search/duplicates.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>

namespace knap::search {
namespace {

std::vector<std::string> random_words(std::mt19937& random, std::size_t count) {
  std::vector<std::string> words;
  for (std::size_t i = 0; i < count; ++i) words.push_back("w" + std::to_string(random() % 5'000));
  return words;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += word + ' ';
  return text;
}

/// Jaccard index of all runs of four words: what the sketches stand for.
double true_similarity(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  const auto runs = [](const std::vector<std::string>& words) {
    std::set<std::string> out;
    for (std::size_t i = 0; i + 4 <= words.size(); ++i)
      out.insert(words[i] + ' ' + words[i + 1] + ' ' + words[i + 2] + ' ' + words[i + 3]);
    return out;
  };
  const auto x = runs(a), y = runs(b);
  std::size_t shared = 0;
  for (const auto& run : x) shared += y.count(run);
  return static_cast<double>(shared) / static_cast<double>(x.size() + y.size() - shared);
}

void add(DuplicateFinder& finder, std::uint64_t id, std::string_view text) {
  finder.add(text);
  finder.finish(NoteId{id});
}

std::vector<SimilarPair> pairs_of(const DuplicateFinder& finder, float threshold,
                                  std::size_t limit) {
  return finder.pairs(threshold, limit, Deadline::never(), {}).value();
}

/// A text of so many words, and the same with some of them changed.
std::pair<std::vector<std::string>, std::vector<std::string>> changed_pair(std::mt19937& random,
                                                                           std::size_t words,
                                                                           int changes) {
  const auto a = random_words(random, words);
  auto b = a;
  for (int i = 0; i < changes; ++i) b[random() % b.size()] = "changed";
  return {a, b};
}

TEST(DuplicateFinder, FindsTheSameTextWhateverItsCaseAndPunctuation) {
  DuplicateFinder finder;
  add(finder, 1, "The quick brown fox jumps over the lazy dog, then sleeps in the sun.");
  add(finder, 2, "Something else entirely stands in this note, about bread and how long it rests.");
  add(finder, 3, "the QUICK brown fox jumps over the lazy dog - then sleeps in the sun!");
  const auto pairs = pairs_of(finder, .8F, 10);
  ASSERT_EQ(pairs.size(), 1U);
  EXPECT_EQ(pairs[0].first, NoteId{1});
  EXPECT_EQ(pairs[0].second, NoteId{3});
  EXPECT_FLOAT_EQ(pairs[0].similarity, 1);
}

TEST(DuplicateFinder, LeavesOutNotesOfFewWords) {
  DuplicateFinder finder;
  add(finder, 1, "only a few words here");
  add(finder, 2, "only a few words here");
  add(finder, 3, "");
  EXPECT_TRUE(pairs_of(finder, .3F, 10).empty());
}

TEST(DuplicateFinder, ReadsChineseByCharacters) {
  DuplicateFinder finder;
  add(finder, 1, "今天天气很好我们去公园散步吧然后回家吃饭");
  add(finder, 2, "今天天气很好我们去公园散步吧然后回家喝茶");
  ASSERT_EQ(pairs_of(finder, .5F, 10).size(), 1U);
}

TEST(DuplicateFinder, PartsOfANoteAreOneText) {
  DuplicateFinder whole;
  add(whole, 1, "one two three four five six seven eight nine ten eleven twelve thirteen");
  whole.add("one two three four five six seven ");
  whole.add("eight nine ten eleven twelve thirteen");
  whole.finish(NoteId{2});
  ASSERT_EQ(pairs_of(whole, 1, 10).size(), 1U);
}

TEST(DuplicateFinder, MeasuresShortTextsExactly) {
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    const auto [a, b] = changed_pair(random, 120, 4);
    DuplicateFinder finder;
    add(finder, 1, joined(a));
    add(finder, 2, joined(b));
    const auto pairs = pairs_of(finder, .3F, 10);
    ASSERT_EQ(pairs.size(), 1U);
    EXPECT_NEAR(pairs[0].similarity, true_similarity(a, b), 1e-6);
  }
}

TEST(DuplicateFinder, EstimatesLongTexts) {
  std::mt19937 random(2);
  for (int round = 0; round < 10; ++round) {
    const auto [a, b] = changed_pair(random, 3'000, 100);
    DuplicateFinder finder;
    add(finder, 1, joined(a));
    add(finder, 2, joined(b));
    const auto pairs = pairs_of(finder, .3F, 10);
    ASSERT_EQ(pairs.size(), 1U);
    EXPECT_NEAR(pairs[0].similarity, true_similarity(a, b), .13);  // four standard errors
  }
}

TEST(DuplicateFinder, FindsPairsAmongManyNotes) {
  std::mt19937 random(3);
  DuplicateFinder finder;
  for (std::uint64_t n = 0; n < 1'000; ++n) {
    auto words = random_words(random, 200);
    add(finder, 2 * n, joined(words));
    words[random() % words.size()] = "changed";
    add(finder, 2 * n + 1, joined(words));
  }
  const auto pairs = pairs_of(finder, .8F, 10'000);
  ASSERT_EQ(pairs.size(), 1'000U);
  for (const SimilarPair& pair : pairs)
    EXPECT_EQ(static_cast<std::uint64_t>(pair.first) + 1, static_cast<std::uint64_t>(pair.second));
}

TEST(DuplicateFinder, KeepsTheMostSimilarWhenThereAreTooMany) {
  DuplicateFinder finder;
  for (std::uint64_t n = 0; n < 200; ++n)
    add(finder, n, "the very same text of a template with twelve words in it, no more");
  EXPECT_EQ(pairs_of(finder, .8F, 50).size(), 50U);
}

TEST(DuplicateFinder, StopsAtItsDeadlineAndWhenTheCallerGoes) {
  DuplicateFinder finder;
  add(finder, 1, "some text of a note that has at least twelve words in it, or more");
  EXPECT_EQ(finder.pairs(.8F, 10, Deadline::after(std::chrono::milliseconds(0)), {}).error().code,
            ErrorCode::kDeadlineExceeded);
  const CancelToken cancel;
  cancel.cancel();
  EXPECT_EQ(finder.pairs(.8F, 10, Deadline::never(), cancel).error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace knap::search
