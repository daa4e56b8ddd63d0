#include "runner/e5_pack.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "runner/embed_engine.hpp"
#include "test_folder.hpp"

namespace knap::models::runner {
namespace {

using testing::ElementsAre;

template <typename Number>
void put(std::string& out, Number value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// A pack of two tensors: emb.word of 5 x 32 in blocks, emb.ln.w of 32 floats.
std::string small_pack() {
  std::string out = "E5S1";
  put(out, std::uint32_t{1});
  for (const std::int32_t size : {32, 1, 2, 64, 5, 16, 1}) put(out, size);
  put(out, 1e-12F);
  put(out, std::int32_t{32});
  const std::vector<std::string> pieces{"<s>", "<pad>", "</s>", "<unk>", "a"};
  put(out, static_cast<std::int32_t>(pieces.size()));
  for (const std::int32_t id : {0, 2, 1, 3}) put(out, id);
  std::string blob;
  std::vector<std::uint32_t> offsets{0};
  for (const auto& piece : pieces) {
    blob += piece;
    offsets.push_back(static_cast<std::uint32_t>(blob.size()));
  }
  put(out, std::uint64_t{blob.size()});
  for (const auto offset : offsets) put(out, offset);
  for (std::size_t i = 0; i < pieces.size(); ++i) put(out, -1.0F);
  out += blob;
  put(out, std::int32_t{1});
  put(out, std::uint32_t{9});
  put(out, std::uint32_t{'\t'});
  put(out, std::uint8_t{1});
  put(out, std::uint32_t{' '});
  put(out, std::int32_t{2});
  const std::string first = "emb.word", second = "emb.ln.w";
  const std::size_t data = out.size() + 2 * (2 + 8 + 1 + 4 + 8 + 8);
  const auto entry = [&](const std::string& name, std::uint8_t type, std::uint32_t values,
                         std::uint64_t offset, std::uint64_t bytes) {
    put(out, static_cast<std::uint16_t>(name.size()));
    out += name;
    put(out, type);
    put(out, values);
    put(out, offset);
    put(out, bytes);
  };
  entry(first, 1, 160, data, 90);
  entry(second, 0, 32, data + 90, 128);
  for (int row = 0; row < 5; ++row) {
    put(out, std::uint16_t{0x3C00});                                    // 1.0
    for (int i = 0; i < 16; ++i) out += static_cast<char>(0x90 + row);  // low: row - 8; high: 1
  }
  for (int i = 0; i < 32; ++i) put(out, 0.5F);
  return out;
}

TEST(E5Pack, ReadsSizesPiecesAndTensors) {
  const std::string bytes = small_pack();
  const auto pack = E5Pack::parse(bytes);
  ASSERT_TRUE(pack) << pack.error().message;
  EXPECT_EQ((*pack)->config().hidden, 32U);
  EXPECT_EQ((*pack)->config().positions, 16U);
  EXPECT_THAT((*pack)->tokenizer()->encode("a\ta", 9).ids, ElementsAre(0, 3, 4, 3, 4, 2));
  const auto norm = (*pack)->read("embeddings.LayerNorm.weight", std::vector<std::size_t>{32});
  ASSERT_TRUE(norm) << norm.error().message;
  EXPECT_EQ(norm->front(), 0.5F);
  const std::vector<std::size_t> shape{5, 32};
  const auto rows = (*pack)->rows("embeddings.word_embeddings.weight", shape);
  ASSERT_TRUE(rows);
  std::vector<float> row(32);
  (*rows)(3, row);
  EXPECT_EQ(row[0], -5.0F);
  EXPECT_EQ(row[16], 1.0F);
}

TEST(E5Pack, SaysWhatIsMissing) {
  const std::string bytes = small_pack();
  const auto pack = E5Pack::parse(bytes);
  ASSERT_TRUE(pack);
  const std::vector<std::size_t> shape{32};
  EXPECT_EQ((*pack)->read("encoder.layer.0.output.dense.bias", shape).error().code,
            ErrorCode::kCorruptData);
  EXPECT_EQ((*pack)->read("embeddings.LayerNorm.weight", std::vector<std::size_t>{31}).error().code,
            ErrorCode::kCorruptData);
  EXPECT_FALSE((*pack)->read("pooler", shape));
}

TEST(E5Pack, RefusesEveryTruncation) {
  const std::string bytes = small_pack();
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(E5Pack::parse(std::string_view(bytes).substr(0, length))) << length;
  }
}

TEST(E5Pack, SurvivesEveryChangedByte) {
  const std::string bytes = small_pack();
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (const int change : {0x01, 0x80, 0xFF}) {
      auto changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ change);
      const auto pack = E5Pack::parse(changed);
      if (pack) static_cast<void>((*pack)->tokenizer()->encode("a a \xff", 8));
    }
  }
}

TEST(E5Pack, TheInstalledModelKnowsOneLanguageInAnother) {
  const auto dir = installed_models_dir() / "multilingual-e5-small";
  if (!std::filesystem::exists(dir)) {
    GTEST_SKIP() << "multilingual-e5-small is not installed: knap models pull it";
  }
  const auto engine = EmbedEngine::open({.model_dir = dir, .precision = Precision::kInt8Plain});
  ASSERT_TRUE(engine) << engine.error().message;
  const auto embed = [&](const std::string& text) {
    const auto ids = (*engine)->tokenize(text);
    const auto* pointer = &ids;
    std::vector<float> out((*engine)->dimensions());
    EXPECT_TRUE((*engine)->run({&pointer, 1}, out, Lane::kBackground));
    return out;
  };
  const auto query = embed("query: Wie viel Eiweiß braucht man am Tag?");
  const auto right = embed("passage: Adults need about 50 grams of protein each day.");
  const auto wrong = embed("passage: The train to Lyon leaves from platform nine.");
  const auto cosine = [&](const std::vector<float>& a) {
    return std::inner_product(a.begin(), a.end(), query.begin(), 0.0);
  };
  EXPECT_GT(cosine(right), cosine(wrong) + 0.05);
}

}  // namespace
}  // namespace knap::models::runner
