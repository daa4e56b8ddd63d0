#include "runner/embed_engine.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <thread>

#include "test_folder.hpp"

namespace knap::models::runner {
namespace {

const std::vector<std::string> kTexts{
    "A wikilink with a heading points into another note.",
    "Die Katze sitzt auf dem Dach.",
    "The budget of the second quarter grew by 12 % because of travel.",
    "x",
    R"(Tasks with a due date show up in the query block, sorted by priority and then by the folder
that holds the note. Recurring tasks are copied when they are done, and the copy carries the next
date.)",
    "print('hello') # a comment in a code block"};

std::unique_ptr<EmbedEngine> open_engine(Precision precision) {
  auto engine = EmbedEngine::open(
      {.model_dir = installed_models_dir() / "all-minilm-l6-v2", .precision = precision});
  EXPECT_TRUE(engine) << engine.error().message;
  return engine ? *std::move(engine) : nullptr;
}

std::vector<float> embed(EmbedEngine& engine, const std::vector<std::string>& texts,
                         Lane lane = Lane::kBackground) {
  std::vector<std::vector<std::int32_t>> ids;
  std::vector<const std::vector<std::int32_t>*> pointers;
  for (const auto& text : texts) ids.push_back(engine.tokenize(text));
  for (const auto& each : ids) pointers.push_back(&each);
  std::vector<float> out(texts.size() * engine.dimensions());
  const auto status = engine.run(pointers, out, lane);
  EXPECT_TRUE(status) << status.error().message;
  return out;
}

double dot(const std::vector<float>& a, const std::vector<float>& b, std::size_t row) {
  return std::inner_product(a.begin() + 384 * static_cast<long>(row),
                            a.begin() + 384 * static_cast<long>(row + 1),
                            b.begin() + 384 * static_cast<long>(row), 0.0);
}

class EmbedEngineTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(installed_models_dir() / "all-minilm-l6-v2")) {
      GTEST_SKIP() << "all-minilm-l6-v2 is not installed; set KNAP_MODELS_DIR";
    }
  }
};

class OpenVinoEngineTest : public EmbedEngineTest {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    GTEST_SKIP() << "OpenVINO loads a helper library with RTLD_DEEPBIND, which sanitizers refuse";
#endif
    EmbedEngineTest::SetUp();
  }
};

void expect_vectors_apart_from_their_batch(EmbedEngine& engine, Lane lane) {
  const auto together = embed(engine, kTexts, lane);
  for (std::size_t i = 0; i < kTexts.size(); ++i) {
    const auto alone = embed(engine, {kTexts[i]});
    double product = 0;
    for (std::size_t d = 0; d < 384; ++d)
      product += static_cast<double>(alone[d]) * together[i * 384 + d];
    EXPECT_NEAR(product, 1.0, 1e-4) << i;
  }
}

TEST_F(OpenVinoEngineTest, PaddingDoesNotChangeAVector) {
  const auto engine = open_engine(Precision::kF32);
  ASSERT_NE(engine, nullptr);
  expect_vectors_apart_from_their_batch(*engine, Lane::kBackground);
}

TEST_F(OpenVinoEngineTest, QueriesInOneRowDoNotSeeEachOther) {
  const auto engine = open_engine(Precision::kF32);
  ASSERT_NE(engine, nullptr);
  expect_vectors_apart_from_their_batch(*engine, Lane::kInteractive);
}

TEST_F(EmbedEngineTest, ABatchDoesNotChangeAVectorOfThePlainKernels) {
  const auto engine = open_engine(Precision::kInt8Plain);
  ASSERT_NE(engine, nullptr);
  expect_vectors_apart_from_their_batch(*engine, Lane::kInteractive);
}

// Vectors know what texts have to do with each other, under sanitizers too, where OpenVINO cannot
// be asked for the exact ones.
TEST_F(EmbedEngineTest, ThePlainKernelsKnowLikeFromUnlike) {
  const auto engine = open_engine(Precision::kInt8Plain);
  ASSERT_NE(engine, nullptr);
  const auto vectors = embed(*engine, {"How do plants make sugar from light?",
                                       "Photosynthesis turns sunlight into glucose.",
                                       "The invoice is due at the end of March."});
  const auto product = [&](long a, long b) {
    return std::inner_product(vectors.begin() + 384 * a, vectors.begin() + 384 * (a + 1),
                              vectors.begin() + 384 * b, 0.0);
  };
  EXPECT_GT(product(0, 1), .5);
  EXPECT_LT(product(0, 2), .2);
}

TEST_F(EmbedEngineTest, ThePlainKernelsServeSeveralThreads) {
  const auto engine = open_engine(Precision::kInt8Plain);
  ASSERT_NE(engine, nullptr);
  const auto expected = embed(*engine, kTexts);
  std::vector<std::vector<float>> got(4);
  {
    std::vector<std::jthread> threads;
    for (auto& vectors : got) threads.emplace_back([&] { vectors = embed(*engine, kTexts); });
  }
  for (const auto& vectors : got) EXPECT_EQ(vectors, expected);
}

TEST_F(OpenVinoEngineTest, FastPrecisionsStayNearTheExactOne) {
  const auto exact = open_engine(Precision::kF32);
  ASSERT_NE(exact, nullptr);
  const auto reference = embed(*exact, kTexts);
  for (const Precision precision :
       {Precision::kInt8, Precision::kInt8Bf16, Precision::kBf16, Precision::kInt8Plain}) {
    const auto engine = open_engine(precision);
    ASSERT_NE(engine, nullptr);
    const auto vectors = embed(*engine, kTexts);
    double sum = 0;
    for (std::size_t i = 0; i < kTexts.size(); ++i) sum += dot(reference, vectors, i);
    EXPECT_GE(sum / static_cast<double>(kTexts.size()), .993) << to_string(precision);
  }
}

TEST_F(OpenVinoEngineTest, PoolsByTheFirstTokenWhereTheModelWantsThat) {
  const auto open = [](Precision precision, Output output) {
    auto engine = EmbedEngine::open({.model_dir = installed_models_dir() / "all-minilm-l6-v2",
                                     .precision = precision,
                                     .output = output});
    EXPECT_TRUE(engine) << engine.error().message;
    return embed(**engine, kTexts);
  };
  const auto mean = open(Precision::kF32, Output::kMean);
  const auto first = open(Precision::kF32, Output::kFirst);
  const auto plain = open(Precision::kInt8Plain, Output::kFirst);
  for (std::size_t i = 0; i < kTexts.size(); ++i) {
    EXPECT_NEAR(dot(first, first, i), 1, 1e-4) << i;
    EXPECT_GT(dot(first, plain, i), .97) << i;
    EXPECT_LT(dot(first, mean, i), .97) << i;
  }
}

TEST(EmbedEngine, SaysWhichFileIsBroken) {
  const TestFolder folder;
  EXPECT_EQ(EmbedEngine::open({.model_dir = folder.path()}).error().code, ErrorCode::kNotFound);
  folder.write("config.json", "{}");
  EXPECT_NE(EmbedEngine::open({.model_dir = folder.path()}).error().message.find("config.json"),
            std::string::npos);
}

}  // namespace
}  // namespace knap::models::runner
