#include "runner/rerank_engine.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "runner/tiny_bert.hpp"

namespace knap::models::runner {
namespace {

std::unique_ptr<RerankEngine> open_engine(const TestFolder& folder, Precision precision) {
  auto engine = RerankEngine::open(
      {.model_dir = folder.path(), .max_tokens = 32, .precision = precision, .streams = 2});
  EXPECT_TRUE(engine) << engine.error().message;
  return engine ? *std::move(engine) : nullptr;
}

std::vector<float> score(RerankEngine& engine, const std::string& question,
                         const std::vector<std::string>& texts) {
  std::vector<std::vector<std::int32_t>> pairs;
  std::vector<const std::vector<std::int32_t>*> pointers;
  for (const auto& text : texts) pairs.push_back(engine.tokenize(question, text));
  for (const auto& pair : pairs) pointers.push_back(&pair);
  std::vector<float> out(texts.size());
  const auto status = engine.run(pointers, out, Lane::kBackground);
  EXPECT_TRUE(status) << status.error().message;
  return out;
}

TEST(RerankEngine, MakesPairsOfQuestionAndText) {
  const TestFolder folder;
  write_tiny_bert(folder, {});
  const auto engine = open_engine(folder, Precision::kInt8Plain);
  ASSERT_NE(engine, nullptr);
  const std::int32_t begin = 2, end = 3;
  EXPECT_EQ(engine->tokenize("a b", "c"), (std::vector<std::int32_t>{begin, 4, 5, end, 6, end}));
  EXPECT_EQ(engine->tokenize("", ""), (std::vector<std::int32_t>{begin, end, end}));
  std::string many;
  for (int i = 0; i < 100; ++i) many += "a ";
  const auto cut = engine->tokenize(many, many);
  EXPECT_EQ(cut.size(), 32U);
  EXPECT_EQ(std::count(cut.begin(), cut.end(), end), 2);
  EXPECT_EQ(cut[15], end) << "the question takes half of the window";
  EXPECT_EQ(cut.back(), end);
}

/// What the runner computes against the plain arithmetic of the model, in double precision.
void expect_as_computed_plainly(Precision precision, float tolerance) {
  const TestFolder folder;
  const TinyBert model = write_tiny_bert(folder, {});
  const auto engine = open_engine(folder, precision);
  ASSERT_NE(engine, nullptr);
  const std::vector<std::string> texts{"c", "a b c d e f", "f f f", "e d", "b a"};
  const auto logits = score(*engine, "a b e", texts);
  double spread = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const double expected = model.logit(engine->tokenize("a b e", texts[i]));
    EXPECT_NEAR(logits[i], expected, tolerance) << texts[i];
    spread = std::max(spread, std::fabs(expected - model.logit(engine->tokenize("a b e", "c"))));
  }
  EXPECT_GT(spread, 5 * tolerance) << "or nothing was told apart";
}

TEST(RerankEngine, ThePlainKernelsComputeTheLogit) {
  // Weights of seven bits, activations too: three hundredths of a spread of one.
  expect_as_computed_plainly(Precision::kInt8Plain, .04F);
}

TEST(RerankEngine, OpenVinoComputesTheLogit) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "OpenVINO loads a helper library with RTLD_DEEPBIND, which sanitizers refuse";
#endif
  expect_as_computed_plainly(Precision::kF32, .001F);
}

TEST(RerankEngine, ScoresDoNotDependOnTheBatch) {
  const TestFolder folder;
  write_tiny_bert(folder, {});
  const auto engine = open_engine(folder, Precision::kInt8Plain);
  ASSERT_NE(engine, nullptr);
  const std::vector<std::string> texts{"c", "a b c d e f", "f f f"};
  const auto together = score(*engine, "a b", texts);
  for (std::size_t i = 0; i < texts.size(); ++i)
    EXPECT_NEAR(score(*engine, "a b", {texts[i]}).front(), together[i], 1e-4) << texts[i];
}

TEST(RerankEngine, SaysWhatIsMissing) {
  const TestFolder empty;
  EXPECT_EQ(RerankEngine::open({.model_dir = empty.path()}).error().code, ErrorCode::kNotFound);
  const TestFolder headless;
  write_tiny_bert(headless, {.head = false});
  const auto refused = RerankEngine::open({.model_dir = headless.path(), .max_tokens = 32});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kCorruptData);
  EXPECT_NE(refused.error().message.find("pooler.dense.weight"), std::string::npos)
      << refused.error().message;
  const TestFolder one_type;
  write_tiny_bert(one_type, {.types = 1});
  EXPECT_EQ(RerankEngine::open({.model_dir = one_type.path(), .max_tokens = 32}).error().code,
            ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace knap::models::runner
