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

models::SpeechSegment segment(int begin_s, int end_s, const char* text) {
  models::SpeechSegment out;
  out.begin = milliseconds(begin_s * 1'000);
  out.end = milliseconds(end_s * 1'000);
  out.text = text;
  return out;
}

TEST(Formats, ParagraphsEndAtPausesAndSentencesAndAfterAMinute) {
  const auto paragraphs =
      to_paragraphs({segment(0, 8, "A greeting."), segment(11, 20, "Then a"),
                     segment(20, 33, "sentence."), segment(33, 40, "Its next one."),
                     segment(44, 80, "After a pause,"), segment(80, 104, "which goes on"),
                     segment(104, 110, "for long"), segment(115, 117, "Done.")});
  std::vector<std::pair<int, std::string>> got;
  for (const Paragraph& each : paragraphs)
    got.emplace_back(static_cast<int>(each.begin.count() / 1'000), each.text);
  const std::vector<std::pair<int, std::string>> wanted = {{0, "A greeting. Then a sentence."},
                                                           {33, "Its next one. After a pause,"},
                                                           {80, "which goes on for long"},
                                                           {115, "Done."}};
  EXPECT_EQ(got, wanted);
  EXPECT_TRUE(to_paragraphs({}).empty());
}

TEST(Formats, ClockTimesHaveHoursWhereThereAreSome) {
  EXPECT_EQ(clock_time(milliseconds(75'900)), "1:15");
  EXPECT_EQ(clock_time(milliseconds(4'502'000)), "1:15:02");
}

}  // namespace
}  // namespace knap::speech
