#include "segment.hpp"

#include <random>

#include <gmock/gmock.h>

#include "test_notes.hpp"

namespace knap::search {
namespace {

using testing::ElementsAre;
using testing_notes::note;

std::shared_ptr<const Segment> build(const std::vector<NoteInput>& notes, VectorStore& vectors) {
  std::vector<const NoteInput*> pointers;
  for (const NoteInput& input : notes) pointers.push_back(&input);
  return build_segment(pointers, vectors);
}

std::vector<std::uint32_t> units_of(const Segment& segment, std::string_view term) {
  std::vector<std::uint32_t> units;
  const auto found = segment.find(term);
  if (found < 0) return units;
  for (PostingCursor cursor(segment, static_cast<std::uint32_t>(found));
       cursor.unit() != PostingCursor::kEnd; cursor.next())
    units.push_back(cursor.unit());
  return units;
}

/// Notes of which each third holds "third" three times, so that a term has several blocks.
std::vector<NoteInput> many_notes() {
  std::vector<NoteInput> notes;
  for (std::uint64_t i = 0; i < 900; ++i) {
    notes.push_back(note(i, "t" + std::to_string(i),
                         {i % 3 == 0 ? "third x third third" : "plain text",
                          "second passage " + std::to_string(i)}));
  }
  return notes;
}

TEST(Segment, HoldsUnitsFrequenciesAndPositions) {
  VectorStore vectors(4);
  NoteInput input = note(7, "Apple", {"pear apple pear", "plum"});
  input.passages[1].headings = {"Apple jam"};
  const auto segment = build({input}, vectors);
  EXPECT_THAT(units_of(*segment, "appl"), ElementsAre(0, 1, 2));
  PostingCursor cursor(*segment, static_cast<std::uint32_t>(segment->find("appl")));
  EXPECT_TRUE(cursor.header());
  EXPECT_EQ(cursor.fields(), 1U << 0 | 1U << 3);
  cursor.next();
  EXPECT_EQ(cursor.body(), 1U);
  std::vector<std::uint32_t> positions;
  cursor.positions(positions);
  EXPECT_THAT(positions, ElementsAre(1));
  cursor.next();
  EXPECT_EQ(cursor.heading(), 1U);
  EXPECT_EQ(cursor.body(), 0U);
  EXPECT_EQ(segment->terms[static_cast<std::size_t>(segment->find("appl"))].notes, 1U);
}

TEST(PostingCursor, SeeksOverBlocksAndKeepsPositions) {
  VectorStore vectors(4);
  const auto segment = build(many_notes(), vectors);
  const auto term = static_cast<std::uint32_t>(segment->find("third"));
  ASSERT_GT(segment->terms[term].postings, 4 * kBlockPostings);
  const auto units = units_of(*segment, "third");
  std::mt19937 random(5);
  std::vector<std::uint32_t> positions;
  for (int round = 0; round < 50; ++round) {
    PostingCursor cursor(*segment, term);
    for (std::uint32_t target = 0; cursor.unit() != PostingCursor::kEnd;
         target += static_cast<std::uint32_t>(random() % 700)) {
      cursor.seek(target);
      const auto expected = std::lower_bound(units.begin(), units.end(), target);
      ASSERT_EQ(cursor.unit(), expected == units.end() ? PostingCursor::kEnd : *expected);
      if (expected == units.end()) break;
      if (random() % 2 == 0) continue;
      cursor.positions(positions);
      ASSERT_THAT(positions, ElementsAre(0, 2, 3));
    }
  }
}

TEST(Segment, MergeEqualsABuildOfTheSameNotes) {
  VectorStore vectors(4);
  const auto notes = many_notes();
  const auto first = build({notes.begin(), notes.begin() + 300}, vectors);
  const auto second = build({notes.begin() + 300, notes.end()}, vectors);
  NoteSet gone(first->note_count());
  for (std::uint32_t i = 0; i < 300; i += 2) gone.set(i);
  const std::vector<std::shared_ptr<const Segment>> parts{first, second};
  std::vector<std::vector<std::uint32_t>> moved;
  const std::vector<NoteSet> deleted{gone, NoteSet()};
  const auto merged = merge_segments(parts, deleted, moved);
  std::vector<NoteInput> kept;
  for (std::size_t i = 0; i < notes.size(); ++i)
    if (i >= 300 || i % 2 == 1) kept.push_back(notes[i]);
  const auto direct = build(kept, vectors);
  EXPECT_EQ(merged->ids, direct->ids);
  EXPECT_EQ(merged->first_unit, direct->first_unit);
  EXPECT_EQ(merged->term_texts, direct->term_texts);
  EXPECT_EQ(merged->postings, direct->postings);
  EXPECT_EQ(merged->positions, direct->positions);
  EXPECT_EQ(merged->names, direct->names);
  EXPECT_EQ(merged->body_words, direct->body_words);
  EXPECT_EQ(moved[0][0], kNoNote);
  EXPECT_EQ(moved[0][1], 0U);
}

TEST(Segment, FindsRangesOfAPrefix) {
  VectorStore vectors(4);
  const auto segment = build({note(1, "x", {"kub kube kuber zoo ku"})}, vectors);
  const auto [begin, end] = segment->prefix_range("kub");
  EXPECT_EQ(end - begin, 3U);
  const auto [none, none_end] = segment->prefix_range("kubx");
  EXPECT_EQ(none, none_end);
  EXPECT_EQ(segment->find("nothing"), -1);
}

TEST(VectorStore, ForgetsWhatNoSegmentHoldsAndCompacts) {
  VectorStore store(2);
  const std::vector<std::int8_t> values{100, 50};
  for (std::uint32_t i = 0; i < 4000; ++i) {
    const Hash128 hash{1, i};
    const Slot slot = store.acquire(hash);
    store.set(hash, values);
    if (i % 2 == 0) store.release(slot);
  }
  const auto view = store.publish();
  EXPECT_EQ(view->row_count, 2000U);
  const Slot kept = store.acquire({1, 1});
  ASSERT_NE(view->row_of(kept), kNoRow);
  EXPECT_EQ(view->row(view->row_of(kept))[0], 100);
  EXPECT_NEAR(view->inverse_norm(view->row_of(kept)), 1 / std::sqrt(12500.0F), 1e-6F);
}

TEST(NameHash, IgnoresCaseMarksAndPunctuation) {
  EXPECT_EQ(name_hash("Élan: Plan!"), name_hash("elan plan"));
  EXPECT_NE(name_hash("plan elan"), name_hash("elan plan"));
  EXPECT_EQ(name_hash("日本語"), name_hash("日本語 "));
  EXPECT_NE(name_hash("日本"), name_hash("本日"));
}

TEST(SkipVarints, StopsWhereReadingOneByOneDoes) {
  std::mt19937 random(3);
  std::vector<std::uint8_t> bytes;
  std::vector<std::size_t> begins;
  for (int i = 0; i < 500; ++i) {
    begins.push_back(bytes.size());
    append_varint(bytes, static_cast<std::uint32_t>(random() >> (random() % 32)));
  }
  begins.push_back(bytes.size());
  for (std::size_t from = 0; from < begins.size(); from += 7) {
    for (std::size_t to = from; to < begins.size(); ++to) {
      const std::uint8_t* at = bytes.data() + begins[from];
      skip_varints(at, static_cast<std::uint32_t>(to - from), bytes.data() + bytes.size());
      ASSERT_EQ(at - bytes.data(), static_cast<std::ptrdiff_t>(begins[to])) << from << " " << to;
    }
  }
}

}  // namespace
}  // namespace knap::search
