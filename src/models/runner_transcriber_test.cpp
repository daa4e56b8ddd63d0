#include "runner_transcriber.hpp"

#include <gtest/gtest.h>

namespace knap::models {
namespace {

using std::chrono::milliseconds;

TEST(ReadTranscript, TakesSegmentsAndWords) {
  const auto transcript = read_transcript(
      R"({"language": "en", "language_probability": 1, "consumed": 3.5, "spoken": 2, "segments": [
        {"text": "Good day", "start": 0.25, "end": 1.5, "avg_logprob": -0.5, "no_speech_prob": 0.125,
         "words": [{"word": "Good", "start": 0.25, "end": 0.75, "probability": 0.5}, {"word": "day"}]}]})");
  ASSERT_TRUE(transcript);
  EXPECT_EQ(transcript->language, "en");
  EXPECT_EQ(transcript->consumed, milliseconds(3'500));
  ASSERT_EQ(transcript->segments.size(), 1U);
  const SpeechSegment& segment = transcript->segments.front();
  EXPECT_EQ(segment.begin, milliseconds(250));
  EXPECT_EQ(segment.average_logprob, -.5F);
  ASSERT_EQ(segment.words.size(), 2U);
  EXPECT_EQ(segment.words.front().end, milliseconds(750));
}

TEST(ReadTranscript, BearsNonsense) {
  for (const char* body : {"", "[]", "{}", R"({"segments": 3})", R"({"segments": [7]})"}) {
    const auto transcript = read_transcript(body);
    ASSERT_FALSE(transcript) << body;
    EXPECT_EQ(transcript.error().code, ErrorCode::kCorruptData);
  }
  const auto odd =
      read_transcript(R"({"segments": [{"start": -5, "end": 1e300, "text": 3}], "consumed": "x"})");
  ASSERT_TRUE(odd);
  EXPECT_EQ(odd->segments.front().begin, milliseconds(0));
  EXPECT_EQ(odd->consumed, milliseconds(0));
}

}  // namespace
}  // namespace knap::models
