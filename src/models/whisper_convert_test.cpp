#include "whisper_convert.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "ctranslate2.hpp"
#include "knap/base/file.hpp"
#include "knap/base/hash.hpp"
#include "test_folder.hpp"

namespace knap::models {
namespace {

using testing::HasSubstr;

constexpr std::uint32_t kWidth = 64;
constexpr std::uint16_t kOne = 0x3C00;  // 1.0 in 16 bits

template <typename Number>
void put(std::string& out, Number value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// Builds a CTranslate2 file.
class Weights {
 public:
  void add(std::string_view name, const std::vector<std::uint32_t>& shape,
           std::uint16_t value = kOne) {
    put(variables_, static_cast<std::uint16_t>(name.size() + 1));
    variables_.append(name).push_back('\0');
    put(variables_, static_cast<std::uint8_t>(shape.size()));
    std::uint32_t count = 1;
    for (const std::uint32_t size : shape) {
      put(variables_, size);
      count *= size;
    }
    put(variables_, std::uint8_t{4});
    put(variables_, count * 2);
    for (std::uint32_t i = 0; i < count; ++i) put(variables_, value);
    ++count_;
  }
  void add_linear(const std::string& name, std::uint32_t out, std::uint32_t in) {
    add(name + "/weight", {out, in});
    add(name + "/bias", {out});
  }
  void add_norm(const std::string& name) {
    add(name + "/gamma", {kWidth});
    add(name + "/beta", {kWidth});
  }
  std::string file() const {
    std::string out;
    put(out, std::uint32_t{6});
    put(out, std::uint16_t{5});
    out += std::string("Test\0", 5);
    put(out, std::uint32_t{3});
    put(out, count_);
    return out + variables_;
  }

 private:
  std::string variables_;
  std::uint32_t count_ = 0;
};

Weights tiny_whisper() {
  Weights weights;
  weights.add("decoder/embeddings/weight", {5, kWidth});
  weights.add("encoder/position_encodings/encodings", {4, kWidth});
  weights.add("decoder/position_encodings/encodings", {3, kWidth});
  weights.add_norm("encoder/layer_norm");
  weights.add_norm("decoder/layer_norm");
  for (const std::string conv : {"conv1", "conv2"}) {
    weights.add("encoder/" + conv + "/weight", {kWidth, 2, 3});
    weights.add("encoder/" + conv + "/bias", {kWidth});
  }
  for (const std::string side : {"encoder", "decoder"}) {
    const std::string layer = side + "/layer_0";
    weights.add_norm(layer + "/ffn/layer_norm");
    weights.add_linear(layer + "/ffn/linear_0", 2 * kWidth, kWidth);
    weights.add_linear(layer + "/ffn/linear_1", kWidth, 2 * kWidth);
    weights.add_norm(layer + "/self_attention/layer_norm");
    weights.add_linear(layer + "/self_attention/linear_0", 3 * kWidth, kWidth);
    weights.add_linear(layer + "/self_attention/linear_1", kWidth, kWidth);
  }
  weights.add_norm("decoder/layer_0/attention/layer_norm");
  weights.add_linear("decoder/layer_0/attention/linear_0", kWidth, kWidth);
  weights.add_linear("decoder/layer_0/attention/linear_1", 2 * kWidth, kWidth);
  weights.add_linear("decoder/layer_0/attention/linear_2", kWidth, kWidth);
  return weights;
}

class WhisperConvertTest : public testing::Test {
 protected:
  Status convert(const std::string& weights, const std::string& vocabulary,
                 std::string_view published = {}) {
    const WhisperParts parts{folder_.write("weights", weights),
                             folder_.write("vocabulary", vocabulary),
                             folder_.write("head", std::string(64'376, 'h'))};
    return convert_whisper(parts, folder_.path() / "model.bin", published, cancel_);
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
