#include "kept.hpp"

#include <gtest/gtest.h>

namespace knap::speech {
namespace {

using std::chrono::milliseconds;

TEST(KeptRecording, IsReadAsItWasWritten) {
  Recording recording;
  recording.id = std::string(32, 'a');
  recording.name = "Größe.m4a";
  recording.wish = {"de", "whisper-base", true};
  recording.language = "de";
  recording.language_probability = .75F;
  recording.position = milliseconds(30'001);
  recording.whole = milliseconds(75'040);
  models::SpeechSegment segment;
  segment.text = "Guten Tag.";
  segment.begin = milliseconds(1);
  segment.end = milliseconds(900);
  segment.average_logprob = -.25F;
  segment.words = {{"Guten", milliseconds(1), milliseconds(400), .5F}};
  recording.segments = {segment};
  const auto read = read_recording(write_recording(recording));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->name, recording.name);
  EXPECT_EQ(read->wish.model, "whisper-base");
  EXPECT_TRUE(read->wish.words);
  EXPECT_EQ(read->position, recording.position);
  EXPECT_EQ(read->whole, recording.whole);
  EXPECT_EQ(read->language_probability, .75F);
  ASSERT_EQ(read->segments.size(), 1U);
  EXPECT_EQ(read->segments[0].text, segment.text);
  EXPECT_EQ(read->segments[0].average_logprob, -.25F);
  ASSERT_EQ(read->segments[0].words.size(), 1U);
  EXPECT_EQ(read->segments[0].words[0].end, milliseconds(400));
}

TEST(KeptRecording, RefusesDamagedText) {
  for (const char* text :
       {"", "{", "[]", R"({"version": 2})", R"({"version": 1, "wish": {}, "segments": [1]})"}) {
    const auto read = read_recording(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code, ErrorCode::kCorruptData);
  }
}

TEST(RecordingId, IsThirtyTwoHexDigits) {
  EXPECT_TRUE(is_recording_id("0123456789abcdef0123456789abcdef"));
  EXPECT_FALSE(is_recording_id("../../../../etc/passwd-0123456789"));
  EXPECT_FALSE(is_recording_id(""));
}

}  // namespace
}  // namespace knap::speech
