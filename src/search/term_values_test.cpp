#include "term_values.hpp"

#include <gmock/gmock.h>

#include "keyword.hpp"
#include "test_notes.hpp"

namespace knap::search {
namespace {

using testing_notes::note;

class TermValuesTest : public testing::Test {
 protected:
  TermValuesTest() {
    for (std::uint64_t id = 1; id <= 200; ++id) {
      std::string text = "common " + std::string(id % 2 == 0 ? "even " : "odd ");
      if (id % 50 == 0) text += "rare ";
      for (std::uint64_t i = 0; i < id % 7; ++i) text += "filler common ";
      notes_.push_back(note(id, "Note", {text, "another passage common"}));
    }
    for (const NoteInput& each : notes_) pointers_.push_back(&each);
    segment_ = build_segment(pointers_, vectors_);
    other_ = build_segment(pointers_, vectors_);
  }
  KeywordScorer scorer(float b = .75F) const {
    RankingSettings settings;
    settings.bm25_b = b;
    return KeywordScorer(settings, {200, 400, segment_->body_words}, {});
  }
  std::vector<std::uint32_t> terms() const {
    std::vector<std::uint32_t> out(segment_->term_count());
    for (std::uint32_t i = 0; i < out.size(); ++i) out[i] = i;
    return out;
  }

  std::vector<NoteInput> notes_;
  std::vector<const NoteInput*> pointers_;
  VectorStore vectors_{4};
  std::shared_ptr<const Segment> segment_, other_;
};

TEST_F(TermValuesTest, AreTheSameComputedAheadOrWhenAskedFor) {
  segment_->term_values.warm(*segment_, scorer(), [] { return false; });
  const auto ahead = segment_->term_values.of(*segment_, terms(), scorer());
  const auto asked = other_->term_values.of(*other_, terms(), scorer());
  for (std::size_t term = 0; term < ahead.size(); ++term) {
    ASSERT_TRUE(ahead[term] && asked[term]);
    ASSERT_EQ(ahead[term]->notes.size(), asked[term]->notes.size());
    for (std::size_t i = 0; i < ahead[term]->notes.size(); ++i) {
      EXPECT_EQ(ahead[term]->notes[i].note, asked[term]->notes[i].note);
      EXPECT_EQ(ahead[term]->notes[i].value, asked[term]->notes[i].value);
    }
  }
}

TEST_F(TermValuesTest, OfCommonWordsAreComputedAheadOnceForEachSetting) {
  int asked = 0;
  const auto count = [&] {
    ++asked;
    return false;
  };
  segment_->term_values.warm(*segment_, scorer(), count);
  const int words = asked;  // those that 64 notes hold, not "rare"
  EXPECT_GE(words, 4);
  EXPECT_LT(words, static_cast<int>(segment_->term_count()));
  segment_->term_values.warm(*segment_, scorer(), count);
  EXPECT_EQ(asked, words);
  segment_->term_values.warm(*segment_, scorer(.5F), count);
  EXPECT_EQ(asked, 2 * words);
}

TEST_F(TermValuesTest, WarmingGoesOnWhereItWasStopped) {
  int left = 2;
  segment_->term_values.warm(*segment_, scorer(), [&] { return left-- == 0; });
  int asked = 0, all = 0;
  segment_->term_values.warm(*segment_, scorer(), [&] {
    ++asked;
    return false;
  });
  other_->term_values.warm(*other_, scorer(), [&] {
    ++all;
    return false;
  });
  EXPECT_EQ(asked, all - 2);
}

}  // namespace
}  // namespace knap::search
