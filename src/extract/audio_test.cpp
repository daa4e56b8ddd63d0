#include "knap/extract/audio.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numbers>

#include "knap/base/file.hpp"

namespace knap::extract {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

template <typename Number>
void put(std::string& out, Number value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// A tone of 440 Hz as a WAV file.
std::string wav(std::uint32_t rate, std::uint16_t channels, std::size_t milliseconds_long,
                std::uint32_t claimed_bytes = 0) {
  const std::size_t frames = rate * milliseconds_long / 1'000;
  std::string data;
  for (std::size_t i = 0; i < frames; ++i) {
    const double phase = 2 * std::numbers::pi * 440 * static_cast<double>(i) / rate;
    for (std::uint16_t c = 0; c < channels; ++c)
      put(data, static_cast<std::int16_t>(16'000 * std::sin(phase)));
  }
  const auto bytes = claimed_bytes > 0 ? claimed_bytes : static_cast<std::uint32_t>(data.size());
  std::string out = "RIFF";
  put(out, bytes + 36);
  out += "WAVEfmt ";
  put(out, std::uint32_t{16});
  put(out, std::uint16_t{1});
  put(out, channels);
  put(out, rate);
  put(out, rate * channels * 2);
  put(out, static_cast<std::uint16_t>(channels * 2));
  put(out, std::uint16_t{16});
  out += "data";
  put(out, bytes);
  return out + data;
}

class AudioTest : public testing::Test {
 protected:
  AudioTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "knap-audio-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    options_.decoder = KNAP_AUDIO_DECODER;
    options_.weak = WeakSandbox::kAllow;
  }
  ~AudioTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Result<Audio> decode(const std::string& bytes, int begin = 0, int length = 60'000) {
    const auto path = folder_ / "clip";
    std::ofstream(path, std::ios::binary) << bytes;
    const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    return decode_audio(file.get(), milliseconds(begin), milliseconds(length), options_,
                        Deadline::after(std::chrono::seconds(20)), {});
  }
  ErrorCode code_of(const std::string& bytes) {
    const auto audio = decode(bytes);
    return audio ? ErrorCode::kInternal : audio.error().code;
  }

  std::filesystem::path folder_;
  AudioOptions options_;
};

TEST_F(AudioTest, ComesAtSixteenKilohertzWhateverTheRate) {
  for (const std::uint32_t rate : {8'000U, 16'000U, 22'050U, 44'100U, 48'000U}) {
    const auto audio = decode(wav(rate, 2, 1'000));
    ASSERT_TRUE(audio) << audio.error().message;
    EXPECT_NEAR(static_cast<double>(audio->samples.size()), 16'000, 40) << rate;
    EXPECT_TRUE(audio->ended);
    double energy = 0;
    for (const std::int16_t sample : audio->samples) energy += std::pow(sample, 2);
    EXPECT_NEAR(std::sqrt(energy / static_cast<double>(audio->samples.size())),
                16'000 / std::sqrt(2), 300);
  }
}

TEST_F(AudioTest, StretchesJoinWithoutAGap) {
  const std::string file = wav(16'000, 1, 3'000);
  const auto whole = decode(file);
  const auto first = decode(file, 0, 1'000);
  const auto second = decode(file, 1'000, 1'000);
  const auto third = decode(file, 2'000, 2'000);
  ASSERT_TRUE(whole && first && second && third);
  EXPECT_FALSE(first->ended);
  EXPECT_TRUE(third->ended);
  std::vector<std::int16_t> joined;
  for (const auto* part : {&*first, &*second, &*third})
    joined.insert(joined.end(), part->samples.begin(), part->samples.end());
  EXPECT_EQ(joined, whole->samples);
  for (const auto* part : {&*first, &*second, &*third}) EXPECT_EQ(part->whole, milliseconds(3'000));
}

TEST_F(AudioTest, NothingComesAfterTheEnd) {
  const auto audio = decode(wav(16'000, 1, 1'000), 5'000);
  ASSERT_TRUE(audio) << audio.error().message;
  EXPECT_TRUE(audio->samples.empty());
  EXPECT_TRUE(audio->ended);
}

TEST_F(AudioTest, RefusesWhatIsNoRecording) {
  EXPECT_EQ(code_of(""), ErrorCode::kCorruptData);
  EXPECT_EQ(code_of("#EXTM3U\nfile:///etc/passwd\n"), ErrorCode::kUnsupported);
  EXPECT_EQ(code_of("ffconcat version 1.0\nfile /etc/passwd\n"), ErrorCode::kUnsupported);
  EXPECT_EQ(code_of("\x7F"
                    "ELF and more"),
            ErrorCode::kUnsupported);
  const auto audio = decode("#!/bin/sh\n");
  ASSERT_FALSE(audio);
  EXPECT_THAT(audio.error().message, HasSubstr("WAV, MP3, FLAC"));
}

TEST_F(AudioTest, RefusesDamagedOnes) {
  EXPECT_EQ(code_of("RIFF\1\1\1\1WAVE"), ErrorCode::kCorruptData);
  EXPECT_EQ(code_of("fLaC" + std::string(100, '\7')), ErrorCode::kCorruptData);
  EXPECT_EQ(code_of("OggS" + std::string(100, '\7')), ErrorCode::kCorruptData);
  EXPECT_EQ(code_of("\1\1\1\1ftypM4A " + std::string(100, '\7')), ErrorCode::kCorruptData);
}

TEST_F(AudioTest, TakesWhatIsThereOfACutFile) {
  const std::string file = wav(16'000, 1, 2'000);
  const auto audio = decode(file.substr(0, file.size() / 2));
  ASSERT_TRUE(audio) << audio.error().message;
  EXPECT_NEAR(static_cast<double>(audio->samples.size()), 16'000, 50);
  const auto boast = decode(wav(16'000, 1, 1'000, 2'000'000'000U));
  ASSERT_TRUE(boast) << boast.error().message;
  EXPECT_EQ(boast->samples.size(), 16'000U);
}

TEST_F(AudioTest, RefusesStretchesThatAreTooLong) {
  const auto audio = decode(wav(16'000, 1, 100), 0, 601'000);
  ASSERT_FALSE(audio);
  EXPECT_EQ(audio.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(AudioTest, SaysWhatIsNotInstalled) {
  options_.decoder = "/nonexistent/knap-audio";
  const auto audio = decode(wav(16'000, 1, 100));
  ASSERT_FALSE(audio);
  EXPECT_EQ(audio.error().code, ErrorCode::kFailedPrecondition);
}

TEST(SniffAudio, KnowsFormatsByTheirFirstBytes) {
  EXPECT_EQ(sniff_audio("ID3\4 and more"), AudioFormat::kMp3);
  EXPECT_EQ(sniff_audio("\xFF\xFB\x90\x64"), AudioFormat::kMp3);
  EXPECT_EQ(sniff_audio("\xFF\xFF\xFF\xFF"), AudioFormat::kUnknown);
  EXPECT_EQ(sniff_audio("\x1A\x45\xDF\xA3 and more"), AudioFormat::kWebm);
  EXPECT_EQ(sniff_audio("xxxxftypisom"), AudioFormat::kMp4);
  EXPECT_EQ(sniff_audio("RIFFxxxxAVI "), AudioFormat::kUnknown);
  EXPECT_EQ(sniff_audio("x"), AudioFormat::kUnknown);
}

}  // namespace
}  // namespace knap::extract
