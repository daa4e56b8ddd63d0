#include "runner/speech_windows.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace knap::models::runner {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;

Stretch from_to(int begin, int end) { return {milliseconds(begin), milliseconds(end)}; }
Windows cut(const std::vector<Stretch>& spoken, int length, bool last) {
  return make_windows(spoken, milliseconds(length), last);
}

TEST(SpeechWindows, HaveAMarginOfSilence) {
  EXPECT_THAT(cut({from_to(1'000, 3'000)}, 5'000, true).windows, ElementsAre(from_to(0, 4'000)));
  EXPECT_THAT(cut({from_to(100, 4'950)}, 5'000, true).windows, ElementsAre(from_to(0, 5'000)));
  EXPECT_THAT(cut({from_to(2'000, 3'000)}, 5'000, true).windows,
              ElementsAre(from_to(1'000, 4'000)));
}

TEST(SpeechWindows, JoinOverShortSilencesOnly) {
  EXPECT_THAT(
      cut({from_to(1'000, 3'000), from_to(4'000, 5'000), from_to(8'000, 9'000)}, 10'000, true)
          .windows,
      ElementsAre(from_to(0, 6'000), from_to(7'000, 10'000)));
}

TEST(SpeechWindows, NeverGrowOverWhatTheModelHears) {
  const auto plan =
      cut({from_to(0, 15'000), from_to(15'500, 35'000), from_to(36'000, 50'000)}, 50'000, true);
  for (const Stretch& window : plan.windows)
    EXPECT_LE(window.end - window.begin, milliseconds(30'000));
  EXPECT_EQ(plan.windows.size(), 3U);
}

TEST(SpeechWindows, CutSpeechWithoutSilence) {
  const auto plan = cut({from_to(0, 60'000)}, 60'000, true);
  ASSERT_EQ(plan.windows.size(), 3U);
  EXPECT_EQ(plan.windows.back().end, milliseconds(60'000));
}

TEST(SpeechWindows, LeaveWhatGoesOnForTheNextPiece) {
  const auto plan = cut({from_to(1'000, 20'000), from_to(22'000, 29'900)}, 30'000, false);
  EXPECT_THAT(plan.windows, ElementsAre(from_to(0, 21'000)));
  EXPECT_EQ(plan.consumed, milliseconds(21'000));
}

TEST(SpeechWindows, ConsumeAllWhenNothingFollows) {
  EXPECT_EQ(cut({from_to(1'000, 29'900)}, 30'000, true).consumed, milliseconds(30'000));
  EXPECT_EQ(cut({}, 30'000, true).consumed, milliseconds(30'000));
}

TEST(SpeechWindows, AlwaysGetOn) {
  EXPECT_EQ(cut({from_to(0, 30'000)}, 30'000, false).consumed, milliseconds(28'000));
  EXPECT_EQ(cut({from_to(0, 20'000)}, 20'100, false).consumed, milliseconds(20'100));
  EXPECT_EQ(cut({}, 30'000, false).consumed, milliseconds(29'700));
}

TEST(SpeechWindows, SilenceHasNone) { EXPECT_THAT(cut({}, 30'000, true).windows, IsEmpty()); }

TEST(AudioContext, IsASafeMultiple) {
  EXPECT_EQ(audio_context(milliseconds(1'000)), 768);
  EXPECT_EQ(audio_context(milliseconds(12'800)), 768);
  EXPECT_EQ(audio_context(milliseconds(13'000)), 1'024);
  EXPECT_EQ(audio_context(milliseconds(20'000)), 1'280);
  EXPECT_EQ(audio_context(milliseconds(30'000)), 1'500);
}

}  // namespace
}  // namespace knap::models::runner
