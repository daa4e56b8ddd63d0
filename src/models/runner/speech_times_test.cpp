#include "runner/speech_times.hpp"

#include <gtest/gtest.h>

namespace knap::models::runner {
namespace {

using std::chrono::milliseconds;

std::vector<SpeechWord> words(const std::vector<const char*>& texts) {
  std::vector<SpeechWord> out;
  for (const char* text : texts) {
    SpeechWord word;
    word.text = text;
    out.push_back(word);
  }
  return out;
}

TEST(SpeechTimes, WordsFollowEachOtherWhileSomebodySpeaks) {
  auto said = words({"abc", "abc", "abc", "abc"});
  const std::vector<Stretch> spoken = {{milliseconds(1'000), milliseconds(3'000)},
                                       {milliseconds(5'000), milliseconds(7'000)}};
  spread_words(said, spoken);
  const std::vector<std::pair<int, int>> wanted = {
      {1'000, 2'000}, {2'000, 3'000}, {5'000, 6'000}, {6'000, 7'000}};
  for (std::size_t i = 0; i < said.size(); ++i) {
    EXPECT_EQ(said[i].begin, milliseconds(wanted[i].first)) << i;
    EXPECT_EQ(said[i].end, milliseconds(wanted[i].second)) << i;
  }
}

TEST(SpeechTimes, WordsStayWhereNobodyIsKnownToSpeak) {
  auto said = words({"abc"});
  said[0].end = milliseconds(7);
  spread_words(said, {});
  EXPECT_EQ(said[0].end, milliseconds(7));
}

TEST(SpeechTimes, SegmentsAreCutAfterSentences) {
  SpeechSegment whole;
  whole.text = "He said \"No.\" She left. And";
  whole.average_logprob = -.5F;
  whole.words = words({"He", "said", "\"No.\"", "She", "left.", "And"});
  for (std::size_t i = 0; i < whole.words.size(); ++i) {
    whole.words[i].begin = milliseconds(i * 100);
    whole.words[i].end = milliseconds(i * 100 + 100);
  }
  const auto cut = cut_sentences(whole);
  ASSERT_EQ(cut.size(), 3U);
  EXPECT_EQ(cut[0].text, "He said \"No.\"");
  EXPECT_EQ(cut[1].text, "She left.");
  EXPECT_EQ(cut[1].begin, milliseconds(300));
  EXPECT_EQ(cut[1].end, milliseconds(500));
  EXPECT_EQ(cut[2].words.size(), 1U);
  EXPECT_EQ(cut[2].average_logprob, -.5F);
}

TEST(SpeechTimes, ASegmentThatItsWordsDoNotMakeUpStaysOne) {
  SpeechSegment whole;
  whole.text = "One. Two.";
  EXPECT_EQ(cut_sentences(whole).size(), 1U);
  whole.words = words({"One.", "Three."});
  EXPECT_EQ(cut_sentences(whole).front().text, "One. Two.");
}

}  // namespace
}  // namespace knap::models::runner
