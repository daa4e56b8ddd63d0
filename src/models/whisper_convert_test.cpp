#include "whisper_convert.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "ctranslate2.hpp"
#include "knap/base/file.hpp"
#include "knap/base/hash.hpp"
#include "test_folder.hpp"
#include "tiny_whisper.hpp"

namespace knap::models {
namespace {

using testing::HasSubstr;

class WhisperConvertTest : public testing::Test {
 protected:
  Status convert(const std::string& weights, const std::string& vocabulary,
                 std::string_view published = {}, WhisperBits bits = WhisperBits::kEight) {
    const WhisperParts parts{folder_.write("weights", weights),
                             folder_.write("vocabulary", vocabulary),
                             folder_.write("head", std::string(64'376, 'h'))};
    return convert_whisper(parts, folder_.path() / "model.bin", published, cancel_, bits);
  }
  std::string made() const { return *read_file(folder_.path() / "model.bin", 1 << 20); }

  TestFolder folder_;
  CancelToken cancel_;
};

TEST_F(WhisperConvertTest, WritesSizesAndTokensFromTheWeights) {
  ASSERT_TRUE(convert(tiny_whisper().file(),
                      "!\n\xC4\xA0"
                      "a\n<|endoftext|>\n<|de|>\n"));
  const std::string file = made();
  std::array<std::uint32_t, 11> sizes{};
  std::memcpy(sizes.data(), file.data() + 4, sizeof sizes);
  EXPECT_EQ(sizes, (std::array<std::uint32_t, 11>{5, 4, 64, 1, 1, 3, 64, 1, 1, 80, 2007}));
  // The letter U+0120 stands for a blank; the English models name the end of the text too.
  EXPECT_THAT(
      file.substr(64'376, 40),
      HasSubstr(std::string("\x03\0\0\0\x01\0\0\0!\x02\0\0\0 a\x0d\0\0\0<|endoftext|>", 32)));
}

TEST_F(WhisperConvertTest, WritesMatricesInBlocksOfEightBits) {
  ASSERT_TRUE(convert(tiny_whisper().file(), "<|endoftext|>"));
  const std::string file = made();
  const std::string name = "decoder.token_embedding.weight";
  const std::size_t at = file.find(name);
  ASSERT_NE(at, std::string::npos);
  // All ones: each block has the scale 1/127 (0x2008 in 16 bits) and 127 in each place.
  const std::string block = "\x08\x20" + std::string(32, '\x7F');
  EXPECT_EQ(file.substr(at + name.size(), 2 * block.size()), block + block);
}

TEST_F(WhisperConvertTest, WritesSixteenBitsWhenAsked) {
  const std::string weights = tiny_whisper().file();
  ASSERT_TRUE(convert(weights, "<|endoftext|>"));
  const std::size_t eight = made().size();
  ASSERT_TRUE(convert(weights, "<|endoftext|>", {}, WhisperBits::kSixteen));
  const std::string file = made();
  EXPECT_GT(file.size(), eight);
  std::uint32_t level = 0;
  std::memcpy(&level, file.data() + 44, sizeof level);
  EXPECT_EQ(level, 1U);
  // What is written is what the published checksum is of.
  EXPECT_TRUE(convert(weights, "<|endoftext|>", sha256(file), WhisperBits::kSixteen));
  EXPECT_TRUE(convert(weights, "<|endoftext|>", sha256(file)));
}

TEST_F(WhisperConvertTest, RefusesAnotherChecksumThanPublished) {
  const Status status = convert(tiny_whisper().file(), "<|endoftext|>", std::string(64, '0'));
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kCorruptData);
  EXPECT_THAT(status.error().message, HasSubstr("as published"));
}

TEST_F(WhisperConvertTest, RefusesWeightsThatEndTooEarly) {
  const std::string file = tiny_whisper().file();
  for (const std::size_t length :
       {std::size_t{0}, std::size_t{3}, std::size_t{20}, file.size() / 2, file.size() - 1}) {
    const auto tensors = read_ctranslate2(std::string_view(file).substr(0, length));
    ASSERT_FALSE(tensors) << length;
    EXPECT_EQ(tensors.error().code, ErrorCode::kCorruptData);
  }
}

TEST_F(WhisperConvertTest, RefusesShapesThatDoNotFit) {
  Weights weights = tiny_whisper();
  weights.add("decoder/layer_0/attention/linear_1/weight", {kWidth, kWidth});
  const Status status = convert(weights.file(), "<|endoftext|>");
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, HasSubstr("linear_1/weight of another size"));
}

TEST_F(WhisperConvertTest, RefusesAVocabularyWithoutAnEnd) {
  EXPECT_FALSE(convert(tiny_whisper().file(), "a\nb\n"));
}

TEST_F(WhisperConvertTest, StopsWhenCancelled) {
  cancel_.cancel();
  const Status status = convert(tiny_whisper().file(), "<|endoftext|>");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace knap::models
