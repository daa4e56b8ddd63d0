// The best notes found by pruning must be those of scoring all notes: an explained search scores
// all.
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "test_notes.hpp"

namespace knap::search {
namespace {

class TopNotes : public ::testing::TestWithParam<unsigned> {
 protected:
  std::string word() {
    const double u = std::uniform_real_distribution<double>(0, 1)(random_);
    return "word" + std::to_string(static_cast<int>(std::exp(u * std::log(400.0))));
  }
  std::string words(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += word() + " ";
    return text;
  }
  int below(int limit) { return static_cast<int>(random_() % static_cast<unsigned>(limit)); }

  NoteInput make_note(std::uint64_t id) {
    std::vector<std::string> passages;
    for (int p = below(5); p > 0; --p) passages.push_back(words(1 + below(60)));
    NoteInput input =
        testing_notes::note(id, words(1 + below(3)), passages, below(4) == 0 ? "de" : "en");
    if (below(3) == 0) input.tags = {word()};
    if (below(3) == 0) input.aliases = {word()};
    for (PassageInput& passage : input.passages)
      if (below(2) == 0) passage.headings = {words(2)};
    input.facts.tags = input.tags;
    return input;
  }

  static std::vector<float> scores(const SearchResult& result) {
    std::vector<float> out;
    for (const Hit& hit : result.hits) out.push_back(hit.score);
    return out;
  }

  /// Compares the pruned search with one that scores all.
  static void expect_same(const Index& index, Query query) {
    // A merge in the background drops deleted notes from the counts: compared between two equal
    // searches, there was none.
    Result<SearchResult> pruned{SearchResult{}}, all{SearchResult{}}, again{SearchResult{}};
    for (int attempt = 0; attempt < 10; ++attempt) {
      query.explain = true;
      all = index.search(query, Deadline::never());
      query.explain = false;
      pruned = index.search(query, Deadline::never());
      query.explain = true;
      again = index.search(query, Deadline::never());
      ASSERT_TRUE(pruned && all && again);
      if (scores(*all) == scores(*again)) break;
    }
    ASSERT_EQ(pruned->hits.size(), all->hits.size()) << query.text;
    for (std::size_t i = 0; i < all->hits.size(); ++i) {
      EXPECT_EQ(pruned->hits[i].note, all->hits[i].note) << query.text << " at " << i;
      EXPECT_EQ(pruned->hits[i].passage, all->hits[i].passage) << query.text << " at " << i;
      EXPECT_EQ(pruned->hits[i].score, all->hits[i].score) << query.text << " at " << i;
    }
  }

  std::mt19937 random_{GetParam()};
};

TEST_P(TopNotes, AreThoseOfScoringAll) {
  const auto index = Index::create({.dimensions = 4});
  std::uint64_t next = 1;
  for (int batch = 0; batch < 6; ++batch) {
    Index::Batch changes;
    for (int i = below(400); i > 0; --i) changes.upserts.push_back(make_note(next++));
    for (int i = below(30); i > 0; --i) changes.deletes.push_back(NoteId{1 + random_() % next});
    index->apply(std::move(changes));
    for (int q = 0; q < 40; ++q) {
      Query query;
      query.text = words(1 + below(6));
      if (below(2) == 0) query.text.pop_back();  // the last word is still being typed
      query.limit = static_cast<std::uint32_t>(1 + below(60));
      query.mode = Mode::kKeyword;
      if (below(3) == 0) query.filter = *Filter::parse("tag:#" + word(), 0);
      if (below(4) == 0) query.ranking.bm25_b = 0.4F;
      expect_same(*index, std::move(query));
    }
  }
}

// Many windows of notes, and words so common that they are only looked up.
TEST_P(TopNotes, AreThoseOfScoringAllWhenCommonWordsAreLookedUp) {
  const auto index = Index::create({.dimensions = 4});
  Index::Batch changes;
  for (std::uint64_t id = 1; id <= 6'000; ++id) {
    std::string text = below(20) > 0 ? "common often " : "often ";
    if (below(30) == 0) text += "rare ";
    if (below(60) == 0) text += "rarer seldom ";
    text += words(1 + below(4));
    changes.upserts.push_back(testing_notes::note(id, "n" + std::to_string(id), {text, words(2)},
                                                  below(9) == 0 ? "de" : "en"));
  }
  index->apply(std::move(changes));
  for (const char* text : {"common rare", "often common rarer ", "rare seldom common often ",
                           "seldom com", "rarer often ", "common often "}) {
    Query query;
    query.text = text;
    query.limit = static_cast<std::uint32_t>(1 + below(30));
    query.mode = Mode::kKeyword;
    expect_same(*index, std::move(query));
  }
}

// Hundreds of equal notes are scored together, of which those with the lowest ids are kept.
TEST_P(TopNotes, AreThoseOfScoringAllAmongEqualNotes) {
  const auto index = Index::create({.dimensions = 4});
  Index::Batch changes;
  for (std::uint64_t id = 1; id <= 3'000; ++id) {
    std::vector<std::string> passages{"equal text of a template", "its footer with equal words"};
    if (below(100) == 0) passages.push_back("footer and " + words(3));
    changes.upserts.push_back(
        testing_notes::note(id, "n" + std::to_string(id), passages, below(9) == 0 ? "de" : "en"));
  }
  index->apply(std::move(changes));
  for (const char* text : {"template ", "equal footer ", "template footer word1 ", "foot"}) {
    Query query;
    query.text = text;
    query.limit = static_cast<std::uint32_t>(1 + below(60));
    query.mode = Mode::kKeyword;
    if (below(2) == 0) query.filter = *Filter::parse("lang:de", 0);
    expect_same(*index, std::move(query));
  }
}

// Lists too long to be computed for one search: read from the postings at first, and later, when
// they have been asked for again, from values.
TEST_P(TopNotes, AreThoseOfScoringAllWhereListsAreLong) {
  const auto index = Index::create({.dimensions = 4});
  Index::Batch changes;
  for (std::uint64_t id = 1; id <= 4'000; ++id) {
    std::vector<std::string> passages;
    for (int p = 5; p > 0; --p)
      passages.push_back((below(20) > 0 ? "common often " : "often ") + words(3 + below(40)));
    if (below(50) == 0) passages.front() += "rare";
    changes.upserts.push_back(
        testing_notes::note(id, "n" + std::to_string(id), passages, below(9) == 0 ? "de" : "en"));
  }
  index->apply(std::move(changes));
  for (int round = 0; round < 3; ++round) {
    for (const char* text : {"common rare ", "often common ", "word1 rare word9 often ", "commo"}) {
      Query query;
      query.text = text;
      query.limit = static_cast<std::uint32_t>(1 + below(30));
      query.mode = Mode::kKeyword;
      if (below(3) == 0) query.filter = *Filter::parse("lang:de", 0);
      expect_same(*index, std::move(query));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, TopNotes, ::testing::Range(1U, 9U));

}  // namespace
}  // namespace knap::search
