#include "runner/answer_engine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <iterator>
#include <optional>

#include "runner/answer_loop.hpp"
#include "runner/json_grammar.hpp"
#include "test_folder.hpp"

namespace knap::models::runner {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// Waits for one answer of a loop that computes on its own thread.
class Waiting final : public AnswerListener {
 public:
  explicit Waiting(std::function<bool(const std::string&)> on_text)
      : on_text_(std::move(on_text)) {}
  void on_text(std::string text, const Outcome& so_far, std::vector<TokenChance> chances) override {
    MutexLock lock(mutex_);
    so_far_ = so_far;
    text_ += text;
    std::ranges::move(chances, std::back_inserter(chances_));
    if (!on_text_(text_)) cancel.cancel();
  }
  void on_end(const Result<Outcome>& outcome) override {
    MutexLock lock(mutex_);
    end_ = outcome;
    ended_.notify_all();
  }
  Result<Outcome> wait() {
    MutexLock lock(mutex_);
    while (!end_) ended_.wait(mutex_);
    return *end_;
  }
  std::string text() const {
    MutexLock lock(mutex_);
    return text_;
  }
  std::vector<TokenChance> chances() const {
    MutexLock lock(mutex_);
    return chances_;
  }
  Outcome so_far() const {
    MutexLock lock(mutex_);
    return so_far_;
  }

  const CancelToken cancel;

 private:
  const std::function<bool(const std::string&)> on_text_;
  mutable Mutex mutex_;
  CondVar ended_;
  std::string text_ KNAP_GUARDED_BY(mutex_);
  std::vector<TokenChance> chances_ KNAP_GUARDED_BY(mutex_);
  Outcome so_far_ KNAP_GUARDED_BY(mutex_);
  std::optional<Result<Outcome>> end_ KNAP_GUARDED_BY(mutex_);
};

class AnswerEngineTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto file = installed_models_dir() / "smollm2-135m-instruct" / "model.gguf";
    if (!std::filesystem::exists(file))
      GTEST_SKIP() << "smollm2-135m-instruct is not installed; set KNAP_MODELS_DIR";
    auto engine =
        AnswerEngine::open({.model_file = file, .context = 512, .cells = 1'024, .threads = 1});
    ASSERT_TRUE(engine) << engine.error().message;
    AnswerLoop::Options options;
    options.passages.memory_bytes = 64U << 20;
    loop_ = std::make_unique<AnswerLoop>(*std::move(engine), options);
    ASSERT_TRUE(loop_->warm_up());
    request_.messages = {{"system", "You answer in one sentence."},
                         {"user", "Name three colours."}};
    request_.max_tokens = 12;
  }
  std::shared_ptr<Waiting> begin(const GenerationRequest& request,
                                 Deadline deadline = Deadline::never()) {
    auto waiting = std::make_shared<Waiting>(
        [limit = stop_after_](const std::string& text) { return text.size() < limit; });
    if (cancelled_) waiting->cancel.cancel();
    if (auto refused = loop_->submit(request, deadline, waiting->cancel, waiting))
      waiting->on_end(refused->error);
    return waiting;
  }
  Result<Outcome> run(Deadline deadline = Deadline::never()) {
    const auto waiting = begin(request_, deadline);
    auto outcome = waiting->wait();
    text_ = waiting->text();
    so_far_ = waiting->so_far();
    chances_ = waiting->chances();
    return outcome;
  }

  std::unique_ptr<AnswerLoop> loop_;
  GenerationRequest request_;
  std::string text_;
  Outcome so_far_;
  std::vector<TokenChance> chances_;
  std::size_t stop_after_ = 1U << 20;
  bool cancelled_ = false;
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
  cancelled_ = true;
  EXPECT_EQ(run().error().code, ErrorCode::kCancelled);
}

TEST_F(AnswerEngineTest, KeepsItsDeadline) {
  for (int i = 0; i < 300; ++i) request_.messages[1].content += " colour";
  EXPECT_EQ(run(Deadline::after(0ms)).error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_FALSE(run(Deadline::after(2ms))) << "refused, or given up in the middle of a step";
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

TEST_F(AnswerEngineTest, WritesOnlyWhatTheGrammarAllows) {
  JsonGrammar grammar;
  const auto root = grammar.add_schema(
      boost::json::parse(R"({"type":"object","required":["colour","count"],"properties":
        {"colour":{"enum":["red","blue"]},"count":{"type":"integer","minimum":3,"maximum":12}}})"),
      JsonGrammar::Keep::kExact);
  ASSERT_TRUE(root);
  request_.grammar.rules = std::move(grammar).finish(*root);
  request_.max_tokens = 100;
  for (const float temperature : {0.0F, 2.0F}) {
    for (std::uint32_t seed = 0; seed < 5; ++seed) {
      request_.temperature = temperature;
      request_.seed = seed;
      const auto outcome = run();
      ASSERT_TRUE(outcome) << outcome.error().message;
      EXPECT_EQ(outcome->finish_reason, "stop");
      const auto value = boost::json::parse(text_).as_object();
      EXPECT_THAT(std::string(value.at("colour").as_string()), testing::AnyOf("red", "blue"));
      EXPECT_GE(value.at("count").as_int64(), 3);
      EXPECT_LE(value.at("count").as_int64(), 12);
    }
  }
}

TEST_F(AnswerEngineTest, KeepsAGrammarFromItsTriggerOn) {
  request_.max_tokens = 60;
  ASSERT_TRUE(run());
  const std::string free = text_;
  ASSERT_GT(free.size(), 12U);
  request_.grammar = {"root ::= \"!\"\n", free.substr(0, 6)};
  ASSERT_TRUE(run());
  EXPECT_TRUE(text_.starts_with(free.substr(0, 6)));
  EXPECT_LE(text_.size(), free.size());
  request_.grammar.trigger = "never written";
  ASSERT_TRUE(run());
  EXPECT_EQ(text_, free);
}

TEST_F(AnswerEngineTest, RefusesAGrammarThatLeadsNowhere) {
  request_.grammar.rules = "root ::= a\na ::= a \"x\"\n";
  const auto outcome = run();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(AnswerEngineTest, TellsHowLikelyTokensWere) {
  ASSERT_TRUE(run());
  EXPECT_TRUE(chances_.empty());
  request_.top_logprobs = 3;
  const auto outcome = run();
  ASSERT_TRUE(outcome);
  std::string joined;
  for (const TokenChance& chance : chances_) {
    joined += chance.bytes;
    EXPECT_LE(chance.logprob, 0);
    ASSERT_EQ(chance.top.size(), 3U);
    EXPECT_EQ(chance.top[0].bytes, chance.bytes) << "at temperature 0 the likeliest is taken";
    EXPECT_GE(chance.top[0].logprob, chance.top[1].logprob);
    EXPECT_LE(std::exp(chance.top[0].logprob) + std::exp(chance.top[1].logprob), 1.001);
  }
  EXPECT_EQ(joined, text_);
  EXPECT_EQ(chances_.size(), outcome->completion_tokens);
}

// Different numbers of tokens in a step go through different kernels, whose sums round differently:
// texts are alike from alone to together, but not bound to be the same to the last word.
TEST_F(AnswerEngineTest, AnswersSeveralAtOnceFromASharedBeginning) {
  const auto alone = run();
  ASSERT_TRUE(alone);
  const std::string answer = text_;
  std::vector<std::shared_ptr<Waiting>> waiting;
  for (const char* what : {"Name three colours.", "Name three animals.", "Name three rivers."}) {
    request_.messages[1].content = what;
    waiting.push_back(begin(request_));
  }
  for (const auto& each : waiting) {
    const auto outcome = each->wait();
    ASSERT_TRUE(outcome) << outcome.error().message;
    EXPECT_GT(outcome->reused_tokens, 10U);
    EXPECT_FALSE(each->text().empty());
  }
  EXPECT_EQ(waiting[0]->text().substr(0, 4), answer.substr(0, 4));
  EXPECT_NE(waiting[1]->text(), waiting[2]->text());
  EXPECT_EQ(loop_->stats().counts.running, 0U);
}

TEST(AnswerEngine, RefusesAFileThatIsNoModel) {
  const TestFolder folder;
  const auto engine =
      AnswerEngine::open({.model_file = folder.write("model.gguf", "GGUF\x03 and nothing else")});
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code, ErrorCode::kCorruptData);
}

TEST_F(AnswerEngineTest, AnswersFromAPassageThatWasReadAhead) {
  const std::string passage =
      "(Release) The release of the new engine is planned for the fourteenth of March. The team "
      "meets in Lisbon on the day before. \n";
  request_.max_tokens = 30;
  request_.messages[1].parts = {{.text = "Notes:\n"},
                                {.text = "[1] nothing\n", .lead = "[1] ", .known = passage},
                                {.text = "Question: In which city does the team meet?"}};
  const auto unread = run();
  ASSERT_TRUE(unread) << unread.error().message;
  for (const std::string& text : {std::string("[1] "), passage}) {
    const auto read = std::make_shared<Waiting>([](const std::string&) { return true; });
    ASSERT_FALSE(loop_->read_ahead(text, Urgency::kBackground, 1, Deadline::never(), {}, read));
    ASSERT_TRUE(read->wait());
  }
  const auto known = run();
  ASSERT_TRUE(known) << known.error().message;
  EXPECT_THAT(text_, HasSubstr("Lisbon"));
  EXPECT_GT(known->prompt_tokens, unread->prompt_tokens);
  EXPECT_GT(known->reused_tokens, 20U) << "beside the beginning";
  EXPECT_EQ(loop_->stats().passages.hits, 1U);
  // Again, with the state shared by the answer before.
  const std::string answer = text_;
  ASSERT_TRUE(run());
  EXPECT_EQ(text_, answer);
}

// Said by heart the model's text is the same, whether guessed or not.
TEST_F(AnswerEngineTest, QuotesInFewerSteps) {
  request_.messages = {
      {"user",
       "Repeat this text word for word: The cellar of the old mill is damp in spring, and the "
       "millers keep their grain on the second floor, where the wind from the river dries it."}};
  request_.max_tokens = 40;
  const auto guessed = run();
  ASSERT_TRUE(guessed);
  EXPECT_THAT(text_, HasSubstr("the millers keep their grain on the second floor"));
  const auto stats = loop_->stats();
  EXPECT_GT(stats.guessed_right, 10U);
  EXPECT_LT(stats.steps, guessed->completion_tokens);
  const std::string text = text_;
  request_.top_logprobs = 0;  // with its chances told an answer is written token by token
  ASSERT_TRUE(run());
  EXPECT_EQ(text_, text);
  EXPECT_EQ(loop_->stats().guessed_tokens, stats.guessed_tokens);
}

class EngineStateTest : public testing::Test {
 protected:
  Token next_of(AnswerEngine::Slot slot, std::size_t begin, std::span<const Token> tokens) {
    const auto sampler = engine_->make_sampler({});
    const AnswerEngine::Item item{
        .slot = slot, .begin = begin, .tokens = tokens, .sampler = sampler->get()};
    const auto chosen = engine_->step({&item, 1}, 1, [] { return false; });
    return chosen ? chosen->front().front() : AnswerEngine::kNoToken;
  }
  std::unique_ptr<AnswerEngine> engine_;
};

TEST_F(EngineStateTest, AStateGoesOnWhereItWasSavedAndDamageIsRefused) {
  const auto file = installed_models_dir() / "smollm2-135m-instruct" / "model.gguf";
  if (!std::filesystem::exists(file))
    GTEST_SKIP() << "smollm2-135m-instruct is not installed; set KNAP_MODELS_DIR";
  auto engine = AnswerEngine::open(
      {.model_file = file, .context = 256, .cells = 256, .slots = 4, .threads = 1});
  ASSERT_TRUE(engine);
  engine_ = *std::move(engine);
  ASSERT_TRUE(engine_->can_join());
  const auto text = engine_->tokenize_alone("The capital of France is the city of");
  const auto head = std::span(text).first(5), rest = std::span(text).subspan(5);
  static_cast<void>(next_of(0, 0, head));
  PassageState state{.text = {}, .tokens = {head.begin(), head.end()}, .bytes = {}};
  auto bytes = engine_->save(0);
  ASSERT_TRUE(bytes);
  state.bytes = *bytes;
  const Token expected = next_of(0, 5, rest);
  ASSERT_TRUE(engine_->join(1, 0, state));
  EXPECT_EQ(next_of(1, 5, rest), expected);
  // Behind others, shifted: both hold what follows.
  const auto other = engine_->tokenize_alone("Some words that stand before it. ");
  static_cast<void>(next_of(2, 0, other));
  ASSERT_TRUE(engine_->join(2, other.size(), state));
  EXPECT_EQ(next_of(2, other.size() + 5, rest), expected);
  // Cut, of another length, or nonsense: an error, and the slot is as before.
  for (const std::string& broken :
       {bytes->substr(0, bytes->size() / 2), std::string("x"), *bytes + "x"}) {
    state.bytes = broken;
    EXPECT_FALSE(engine_->join(3, 0, state));
  }
  state.bytes = *bytes;
  state.tokens.push_back(1);
  EXPECT_FALSE(engine_->join(3, 0, state));
  EXPECT_NE(next_of(3, 0, text), AnswerEngine::kNoToken);
}

}  // namespace
}  // namespace knap::models::runner
