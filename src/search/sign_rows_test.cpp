#include "sign_rows.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "test_notes.hpp"

namespace knap::search {
namespace {

using testing_notes::ids;
using testing_notes::note;
using testing_notes::upsert;

std::vector<std::int8_t> random_row(std::mt19937& random, std::size_t dimensions) {
  std::normal_distribution<float> values(0, 30);
  std::vector<std::int8_t> out(dimensions);
  for (auto& value : out)
    value = static_cast<std::int8_t>(std::clamp(std::lround(values(random)), -127L, 127L));
  return out;
}

float cosine(std::span<const float> query, std::span<const std::int8_t> row) {
  double dot = 0, left = 0, right = 0;
  for (std::size_t i = 0; i < query.size(); ++i) {
    dot += double{query[i]} * row[i];
    left += double{query[i]} * query[i];
    right += double{static_cast<float>(row[i])} * row[i];
  }
  return static_cast<float>(dot / std::sqrt(left * right));
}

/// The row itself and some noise.
std::vector<float> near(std::span<const std::int8_t> row, float noise, std::mt19937& random) {
  std::normal_distribution<float> values(0, noise);
  std::vector<float> out;
  for (const std::int8_t value : row) out.push_back(static_cast<float>(value) + values(random));
  return out;
}

TEST(SignRows, EstimatesWithoutBiasAndWithASmallError) {
  std::mt19937 random(1);
  for (const std::uint32_t dimensions : {100U, 384U, 768U}) {
    constexpr std::uint32_t kRows = 509;  // the last block is not full
    SignRows rows(512, dimensions);
    std::vector<std::vector<std::int8_t>> plain;
    for (std::uint32_t r = 0; r < kRows; ++r) {
      plain.push_back(random_row(random, dimensions));
      rows.set(r, plain.back());
    }
    const std::vector<float> query = near(plain[7], 20, random);
    std::vector<float> estimates(kRows);
    SignQuery(query).estimate(rows, estimates);
    double error = 0, squares = 0;
    for (std::uint32_t r = 0; r < kRows; ++r) {
      const double off = estimates[r] - cosine(query, plain[r]);
      error += off;
      squares += off * off;
    }
    EXPECT_LT(std::abs(error / kRows), 0.01) << dimensions;
    EXPECT_LT(std::sqrt(squares / kRows), 1 / std::sqrt(static_cast<double>(dimensions)));
    EXPECT_EQ(std::ranges::max_element(estimates) - estimates.begin(), 7);
  }
}

TEST(SignRows, TakesZerosAndWhatIsNoNumber) {
  SignRows rows(8, 3);
  rows.set(0, std::vector<std::int8_t>{0, 0, 0});
  rows.set(1, std::vector<std::int8_t>{127, -127, 0});
  std::vector<float> estimates(2);
  SignQuery(std::vector<float>{1, -1, 0}).estimate(rows, estimates);
  EXPECT_EQ(estimates[0], 0);
  EXPECT_NEAR(estimates[1], 1, 0.1);
  for (const float odd :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 0.0F}) {
    SignQuery(std::vector<float>{odd, odd, odd}).estimate(rows, estimates);
    EXPECT_EQ(estimates, std::vector<float>(2, 0));
    SignQuery(std::vector<float>{odd, -1, odd}).estimate(rows, estimates);
    EXPECT_TRUE(std::ranges::all_of(estimates, [](float each) { return std::isfinite(each); }));
  }
}

/// Notes of four passages each around themes, so that each query has near ones and far ones.
class EstimatedSearchTest : public testing::Test {
 protected:
  static constexpr std::uint32_t kDimensions = 128, kNotes = 1'500, kThemes = 60;

  void SetUp() override {
    for (std::uint32_t t = 0; t < kThemes; ++t) themes_.push_back(random_row(random_, kDimensions));
    std::vector<NoteInput> notes;
    std::vector<Index::VectorInput> vectors;
    std::vector<std::vector<std::int8_t>> values;
    for (std::uint32_t n = 0; n < kNotes; ++n) {
      std::vector<std::string> passages;
      for (std::uint32_t p = 0; p < 4; ++p)
        passages.push_back("word" + std::to_string(random_() % 300) + " p" +
                           std::to_string(n * 4 + p));
      if (n % 3 == 0) passages.back() = "the same last lines";
      notes.push_back(note(n + 1, "note " + std::to_string(n), passages));
      notes.back().facts.tags = {n % 2 == 0 ? "even" : "odd"};
      if (n % 10 == 0) notes.back().facts.tags.push_back("tenth");
      for (const auto& passage : notes.back().passages) {
        std::vector<std::int8_t>& row = values.emplace_back();
        for (const float value : near(themes_[random_() % kThemes], 25, random_))
          row.push_back(static_cast<std::int8_t>(std::clamp(std::lround(value), -127L, 127L)));
        vectors.push_back({passage.hash, row});
      }
    }
    for (std::size_t i = 0; i < vectors.size(); ++i) vectors[i].values = values[i];
    index_ = Index::create({.dimensions = kDimensions});
    index_->apply(upsert(std::move(notes)));
    ASSERT_TRUE(index_->set_vectors(vectors));
  }

  SearchResult search(Query query, std::uint32_t estimated_from) {
    query.ranking.estimated_from = estimated_from;
    auto result = index_->search(query, Deadline::never());
    EXPECT_TRUE(result);
    return result ? *std::move(result) : SearchResult{};
  }
  Query ask(std::uint32_t theme, Mode mode) {
    Query query;
    query.text = "word" + std::to_string(theme) + " word" + std::to_string(theme + 1);
    query.mode = mode;
    query.embedding = near(themes_[theme], 15, random_);
    double squares = 0;
    for (const float value : query.embedding) squares += double{value} * value;
    for (float& value : query.embedding) value /= static_cast<float>(std::sqrt(squares));
    return query;
  }
  /// Notes of one that are also in the other, of all.
  static double overlap(const SearchResult& one, const SearchResult& other) {
    const auto a = ids(one), b = ids(other);
    EXPECT_EQ(a.size(), b.size());
    std::size_t both = 0;
    for (const auto id : a) both += std::ranges::count(b, id) > 0 ? 1 : 0;
    return static_cast<double>(both) / static_cast<double>(std::max<std::size_t>(a.size(), 1));
  }

  static constexpr std::uint32_t kNever = std::numeric_limits<std::uint32_t>::max();
  std::mt19937 random_{3};
  std::vector<std::vector<std::int8_t>> themes_;
  std::unique_ptr<Index> index_;
};

TEST_F(EstimatedSearchTest, FindsWhatAnExactSearchFinds) {
  for (const Mode mode : {Mode::kSemantic, Mode::kHybrid}) {
    double total = 0;
    for (std::uint32_t theme = 0; theme < kThemes; ++theme) {
      const Query query = ask(theme, mode);
      const auto exact = search(query, kNever), estimated = search(query, 0);
      total += overlap(exact, estimated);
      ASSERT_FALSE(estimated.hits.empty());
      EXPECT_EQ(estimated.hits.front().note, exact.hits.front().note);
      EXPECT_EQ(estimated.hits.front().passage, exact.hits.front().passage);
      for (const Hit& hit : estimated.hits) {
        const auto same =
            std::ranges::find(exact.hits, hit.note, [](const Hit& each) { return each.note; });
        if (same == exact.hits.end()) continue;
        EXPECT_NEAR(hit.parts.cosine, same->parts.cosine, 2e-3) << "no result shows an estimate";
      }
    }
    EXPECT_GT(total / kThemes, 0.98);
  }
}

TEST_F(EstimatedSearchTest, KeepsFiltersAndDeletions) {
  index_->apply({{}, {NoteId{1}, NoteId{2}, NoteId{3}}});
  for (const char* text : {"tag:even", "-tag:even"}) {
    Query query = ask(5, Mode::kSemantic);
    query.filter = *Filter::parse(text, 0);
    query.limit = 40;  // beyond, hundreds of notes end in the same lines and are equally near
    const auto exact = search(query, kNever), estimated = search(query, 0);
    EXPECT_GT(overlap(exact, estimated), 0.9);
    for (const auto id : ids(estimated)) {
      EXPECT_GT(id, 3U);
      EXPECT_EQ(id % 2 == 1, text[0] == 't') << "notes are numbered from 1";
    }
  }
}

TEST_F(EstimatedSearchTest, ShowsNothingThatOnlySeemedNear) {
  for (std::uint32_t theme = 0; theme < kThemes; ++theme) {
    Query query = ask(theme, Mode::kSemantic);
    query.filter = *Filter::parse("tag:tenth", 0);
    query.limit = 100;  // more than there are above the mean
    for (const Hit& hit : search(query, 0).hits) ASSERT_GT(hit.score, 0);
  }
}

TEST_F(EstimatedSearchTest, PassagesAreComparedExactly) {
  Query query = ask(9, Mode::kSemantic);
  query.group = Group::kPassage;
  const auto exact = search(query, kNever), estimated = search(query, 0);
  EXPECT_EQ(ids(exact), ids(estimated));
}

}  // namespace
}  // namespace knap::search
