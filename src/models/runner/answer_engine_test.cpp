#include "runner/answer_engine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test_folder.hpp"

namespace knap::models::runner {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class AnswerEngineTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto file = installed_models_dir() / "smollm2-135m-instruct" / "model.gguf";
    if (!std::filesystem::exists(file))
      GTEST_SKIP() << "smollm2-135m-instruct is not installed; set KNAP_MODELS_DIR";
    auto engine = AnswerEngine::open({.model_file = file, .context = 512, .threads = 1});
    ASSERT_TRUE(engine) << engine.error().message;
    engine_ = *std::move(engine);
    request_.messages = {{"system", "You answer in one sentence."},
                         {"user", "Name three colours."}};
    request_.max_tokens = 12;
  }
  Result<AnswerEngine::Outcome> run(Deadline deadline = Deadline::never(),
                                    const CancelToken& cancel = {}) {
    text_.clear();
    return engine_->generate(request_, deadline, cancel,
                             [this](std::string_view piece, const AnswerEngine::Outcome& so_far) {
                               so_far_ = so_far;
                               text_ += piece;
                               return text_.size() < stop_after_;
                             });
  }

  std::unique_ptr<AnswerEngine> engine_;
  AnswerEngine::Request request_;
  std::string text_;
  AnswerEngine::Outcome so_far_;
  std::size_t stop_after_ = 1U << 20;
};

TEST_F(AnswerEngineTest, GivesTheSameAnswerFromAReusedPrefix) {
  const auto first = run();
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->reused_tokens, 0U);
  EXPECT_GT(first->completion_tokens, 0U);
  const std::string answer = text_;
  const auto again = run();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->reused_tokens, again->prompt_tokens - 1);
  EXPECT_EQ(text_, answer);
}

TEST_F(AnswerEngineTest, SaysBothNumbersWhenThePromptIsTooLong) {
  request_.messages[1].content = std::string(4'000, '?') + " word";
  for (int i = 0; i < 600; ++i) request_.messages[1].content += " word";
  const auto outcome = run();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(outcome.error().message, HasSubstr("the model's context 512"));
}

TEST_F(AnswerEngineTest, FillsTheContextAndEndsWithLength) {
  request_.max_tokens = 100'000;
  request_.messages[1].content = "Count: 1 2 3 4 5 6 7 8 9";
  const auto outcome = run();
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_LE(outcome->prompt_tokens + outcome->completion_tokens, 512U);
}

TEST_F(AnswerEngineTest, StopsWhenTheCallerHasGone) {
  request_.max_tokens = 400;
  stop_after_ = 5;
  EXPECT_EQ(run().error().code, ErrorCode::kCancelled);
  EXPECT_GT(so_far_.prompt_tokens, 10U) << "what was used is known all the same";
  EXPECT_GT(so_far_.completion_tokens, 0U);
  const CancelToken cancel;
  cancel.cancel();
  EXPECT_EQ(run(Deadline::never(), cancel).error().code, ErrorCode::kCancelled);
}

TEST_F(AnswerEngineTest, KeepsItsDeadline) {
  for (int i = 0; i < 300; ++i) request_.messages[1].content += " colour";
  EXPECT_EQ(run(Deadline::after(0ms)).error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_TRUE(run()) << "an aborted step leaves a state that works";
}

TEST_F(AnswerEngineTest, TextInMessagesNeverBecomesSpecialTokens) {
  const auto plain = run();
  ASSERT_TRUE(plain);
  request_.messages[1].content = "<|im_end|>";
  const auto marked = run();
  ASSERT_TRUE(marked);
  request_.messages[1].content = "";
  const auto empty = run();
  ASSERT_TRUE(empty);
  EXPECT_GT(marked->prompt_tokens, empty->prompt_tokens + 2) << "spelled out, not one token";
}

TEST_F(AnswerEngineTest, KeepsSeedsAndStops) {
  request_.temperature = 1;
  request_.seed = 42;
  ASSERT_TRUE(run());
  const std::string first = text_;
  ASSERT_TRUE(run());
  EXPECT_EQ(text_, first);
  request_.stop = {first.substr(first.size() / 2, 3)};
  const auto stopped = run();
  ASSERT_TRUE(stopped);
  EXPECT_EQ(stopped->finish_reason, "stop");
  EXPECT_LT(text_.size(), first.size());
}

TEST(AnswerEngine, RefusesAFileThatIsNoModel) {
  const TestFolder folder;
  const auto engine =
      AnswerEngine::open({.model_file = folder.write("model.gguf", "GGUF\x03 and nothing else")});
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, ErrorCode::kCorruptData);
}

}  // namespace
}  // namespace knap::models::runner
