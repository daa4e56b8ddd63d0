#include <gtest/gtest.h>

#include "knap/speech/speech.hpp"

namespace knap::speech {
namespace {

using std::chrono::milliseconds;

std::vector<models::SpeechSegment> two() {
  models::SpeechSegment first, second;
  first.text = "Good day.";
  first.begin = milliseconds(250);
  first.end = milliseconds(1'500);
  second.text = "Arrows --> end\ncues.";
  second.begin = milliseconds(3'725'004);
  second.end = milliseconds(3'726'000);
  return {first, second};
}

TEST(Formats, SubtitlesAreNumberedAndTimed) {
  EXPECT_EQ(to_srt(two()),
            "1\n00:00:00,250 --> 00:00:01,500\nGood day.\n\n"
            "2\n01:02:05,004 --> 01:02:06,000\nArrows → end cues.\n\n");
  EXPECT_EQ(to_srt({}), "");
}

TEST(Formats, WebVttBeginsWithItsName) {
  EXPECT_TRUE(to_vtt(two()).starts_with("WEBVTT\n\n00:00:00.250 --> 00:00:01.500\nGood day.\n\n"));
  EXPECT_EQ(to_vtt({}), "WEBVTT\n\n");
}

TEST(Formats, TextHasAParagraphAtLongPauses) {
  auto segments = two();
  EXPECT_EQ(to_text(segments), "Good day.\n\nArrows --> end\ncues.");
  segments[1].begin = milliseconds(1'600);
  EXPECT_EQ(to_text(segments), "Good day. Arrows --> end\ncues.");
}

TEST(Formats, ClockTimesHaveHoursWhereThereAreSome) {
  EXPECT_EQ(clock_time(milliseconds(75'900)), "1:15");
  EXPECT_EQ(clock_time(milliseconds(4'502'000)), "1:15:02");
}

}  // namespace
}  // namespace knap::speech
