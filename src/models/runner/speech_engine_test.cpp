#include "runner/speech_engine.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <random>

#include "test_folder.hpp"

namespace knap::models::runner {
namespace {

std::vector<std::int16_t> sound(std::size_t seconds, const std::function<double(std::size_t)>& at) {
  std::vector<std::int16_t> samples(seconds * kSpeechRate);
  for (std::size_t i = 0; i < samples.size(); ++i)
    samples[i] = static_cast<std::int16_t>(at(i) * 32'000);
  return samples;
}

bool never() { return false; }

/// With the model that `knap models pull` installs.
class SpeechEngineTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto file = installed_models_dir() / "whisper-base" / "model.bin";
    if (!std::filesystem::exists(file)) GTEST_SKIP() << "needs whisper-base: knap models pull";
    auto opened = SpeechEngine::open({.model_file = file, .threads = 2});
    ASSERT_TRUE(opened) << opened.error().message;
    engine_ = *std::move(opened);
  }
  Result<Transcript> hear(const std::vector<std::int16_t>& samples, std::string language = "en",
                          const std::function<bool()>& should_abort = never) {
    SpeechRequest request;
    request.samples = samples;
    request.language = std::move(language);
    return engine_->transcribe(request, should_abort);
  }

  std::unique_ptr<SpeechEngine> engine_;
};

TEST_F(SpeechEngineTest, HearsNothingInSilenceNoiseAndHum) {
  std::minstd_rand random(7);
  std::uniform_real_distribution<double> uniform(-.5, .5);
  const auto silence = sound(5, [](std::size_t) { return 0.; });
  const auto noise = sound(5, [&](std::size_t) { return uniform(random); });
  const auto hum = sound(5, [](std::size_t i) {
    return .5 * std::sin(2 * std::numbers::pi * 50 * static_cast<double>(i) / kSpeechRate);
  });
  for (const auto* samples : {&silence, &noise, &hum}) {
    const auto transcript = hear(*samples);
    ASSERT_TRUE(transcript) << transcript.error().message;
    EXPECT_TRUE(transcript->segments.empty());
    EXPECT_TRUE(transcript->language.empty());
    EXPECT_EQ(transcript->consumed, std::chrono::seconds(5));
  }
}

TEST_F(SpeechEngineTest, RefusesWhatIsNoPiece) {
  EXPECT_EQ(hear({}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(hear(std::vector<std::int16_t>(61 * kSpeechRate)).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(hear(std::vector<std::int16_t>(kSpeechRate), "xx").error().code,
            ErrorCode::kInvalidArgument);
}

TEST(SpeechEngine, RefusesAFileThatIsNoModel) {
  const TestFolder folder;
  const auto opened = SpeechEngine::open({.model_file = folder.write("model.bin", "lmggnonsense")});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kCorruptData);
}

}  // namespace
}  // namespace knap::models::runner
