#include <gmock/gmock.h>

#include "api_fixture.hpp"

namespace knap::api {
namespace {

using testing::HasSubstr;

class VoiceTest : public ApiTest {
 protected:
  http::Response send(const std::string& path, const std::string& sound,
                      const std::vector<std::pair<std::string, std::string>>& fields = {}) {
    std::string body;
    for (const auto& [name, value] : fields)
      body +=
          "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n";
    body += "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n" +
            sound + "\r\n--b--\r\n";
    http::Fields head;
    head.set("Content-Type", "multipart/form-data; boundary=b");
    return call("POST", path, body, head);
  }
  http::Response own(const std::string& sound,
                     const std::vector<std::pair<std::string, std::string>>& fields = {}) {
    return send("/api/voice_transcribe", sound, fields);
  }
  http::Response openai(const std::vector<std::pair<std::string, std::string>>& fields) {
    return send("/v1/audio/transcriptions", "short", fields);
  }
};

TEST_F(VoiceTest, ShortClipsAreAnsweredAtOnce) {
  const auto answer = json(own("short", {{"words", "true"}}));
  EXPECT_EQ(text(answer.at("state")), "done");
  EXPECT_EQ(text(answer.at("text")), "Good day.");
  EXPECT_EQ(answer.at("segments").at(0).at("start").to_number<double>(), .5);
  EXPECT_EQ(answer.at("segments").at(0).at("words").as_array().size(), 2U);
  EXPECT_EQ(own("short", {{"format", "text"}}).body, "Good day.\n");
  EXPECT_THAT(own("short", {{"format", "srt"}}).body, HasSubstr("00:00:00,500 --> 00:00:01,250"));
}

TEST_F(VoiceTest, LongOnesAreJobs) {
  const auto response = own("long");
  ASSERT_EQ(response.status, 202);
  const std::string place(response.fields.get("Location").value_or(""));
  EXPECT_EQ(place, std::string("/api/voice_transcribe/") + FakeSpeech::kId);
  EXPECT_THAT(text(json(response).at("job")), HasSubstr("transcribe-01234567"));
  while (text(json(get(place)).at("state")) != "done") std::this_thread::yield();
  EXPECT_TRUE(get(place + "?format=vtt").body.starts_with("WEBVTT"));
  EXPECT_EQ(problem(get(place + "?format=pdf"), 422), "format");
  EXPECT_EQ(call("DELETE", place).status, 204);
  problem(call("DELETE", place), 404);
  problem(get(place), 404);
}

TEST_F(VoiceTest, TakesBase64) {
  EXPECT_EQ(text(json(post("/api/voice_transcribe", R"({"audio": "c2hvcnQ="})")).at("text")),
            "Good day.");
  EXPECT_EQ(problem(post("/api/voice_transcribe", R"({"audio": "?"})"), 422), "audio");
  EXPECT_EQ(problem(post("/api/voice_transcribe", "{}"), 422), "audio");
}

TEST_F(VoiceTest, SaysWhatIsWrong) {
  EXPECT_EQ(problem(own("broken"), 422), "file");
  EXPECT_EQ(problem(own(""), 422), "file");
  EXPECT_EQ(problem(own("short", {{"langauge", "en"}}), 422), "langauge");
  EXPECT_EQ(problem(own("short", {{"language", "English"}}), 422), "language");
  EXPECT_EQ(problem(own("short", {{"format", "pdf"}}), 422), "format");
  EXPECT_EQ(problem(own("short", {{"words", "maybe"}}), 422), "words");
  EXPECT_EQ(problem(own("short", {{"deadline_ms", "0"}}), 422), "deadline_ms");
  EXPECT_EQ(problem(own("short", {{"model", "nosuchmodel"}}), 404), "model");
}

TEST_F(VoiceTest, HasOpenAiShape) {
  EXPECT_EQ(json(openai({{"model", "whisper-1"}})), boost::json::parse(R"({"text": "Good day."})"));
  const auto verbose = json(openai({{"response_format", "verbose_json"}, {"temperature", "0"}}));
  EXPECT_EQ(text(verbose.at("task")), "transcribe");
  EXPECT_EQ(verbose.at("segments").as_array().size(), 1U);
  EXPECT_FALSE(verbose.as_object().contains("words"));
  const auto words =
      json(openai({{"response_format", "verbose_json"}, {"timestamp_granularities[]", "word"}}));
  EXPECT_EQ(words.at("words").as_array().size(), 2U);
  EXPECT_FALSE(words.as_object().contains("segments"));
  const auto both = json(openai({{"response_format", "verbose_json"},
                                 {"timestamp_granularities[]", "word"},
                                 {"timestamp_granularities[]", "segment"}}));
  EXPECT_TRUE(both.as_object().contains("segments") && both.as_object().contains("words"));
  const auto refused = openai({{"model", "nosuchmodel"}});
  EXPECT_EQ(refused.status, 404);
  EXPECT_EQ(text(json(refused).at("error").at("code")), "model_not_found");
  EXPECT_EQ(openai({{"response_format", "pdf"}}).status, 400);
}

}  // namespace
}  // namespace knap::api
