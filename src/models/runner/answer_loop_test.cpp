#include "runner/answer_loop.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "runner/answer_loop_fixture.hpp"

namespace knap::models::runner {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

TEST_F(AnswerLoopTest, WritesSeveralAnswersInTheSameSteps) {
  make();
  const auto one = ask(asking("one", 10));
  const auto two = ask(asking("another", 10));
  run();
  EXPECT_EQ(one->text, FakeEngine::alone("one", 10));
  EXPECT_EQ(two->text, FakeEngine::alone("another", 10));
  EXPECT_EQ(engine_->steps.size(), 10U) << "both prompts in the first, then both together";
  EXPECT_EQ((*one->end)->finish_reason, "length");
  EXPECT_EQ((*one->end)->completion_tokens, 10U);
}

TEST_F(AnswerLoopTest, ReadsASharedBeginningOnce) {
  make({.context = 256, .cells = 512, .slots = 8});
  const std::string system(100, 's');
  std::vector<std::shared_ptr<Heard>> heard;
  for (char name = 'a'; name < 'd'; ++name) heard.push_back(ask(asking(system + name + "?", 5)));
  run();
  std::size_t read = 0;
  for (const auto& step : engine_->steps) read += step.tokens;
  EXPECT_EQ(read, 102U + 2 * 2 + 3 * 4) << "the beginning once, then what differs";
  for (char name = 'a'; name < 'd'; ++name) {
    const Heard& each = *heard[static_cast<std::size_t>(name - 'a')];
    EXPECT_EQ(each.text, FakeEngine::alone(system + name + "?", 5));
    EXPECT_EQ((*each.end)->reused_tokens, name == 'a' ? 0U : 100U);
  }
  EXPECT_EQ(loop_->stats().reused_tokens, 200U);
}

TEST_F(AnswerLoopTest, ReusesWhatEarlierAnswersLeft) {
  make();
  ask(asking("a conversation", 5));
  run();
  const auto again = ask(asking("a conversation", 5));
  run();
  EXPECT_EQ((*again->end)->reused_tokens, 13U) << "all but the last, whose output is needed";
  const std::string more = "a conversation" + again->text + " and more";
  const auto next = ask(asking(more, 5));
  run();
  EXPECT_EQ((*next->end)->reused_tokens, 18U) << "the answer's last token was never read";
  EXPECT_EQ(next->text, FakeEngine::alone(more, 5));
}

/// Of a text that repeats itself, every 13 tokens.
constexpr std::size_t kMemory = 1;

TEST_F(AnswerLoopTest, WritesWhatIsGuessedInFewerSteps) {
  make({.step_time = 10ms, .memory = kMemory});
  EXPECT_TRUE(loop_->warm_up());
  const auto heard = ask(asking("prompt", 120));
  run();
  EXPECT_EQ(heard->text, FakeEngine::alone("prompt", 120, kMemory));
  EXPECT_EQ((*heard->end)->completion_tokens, 120U);
  EXPECT_EQ((*heard->end)->finish_reason, "length");
  EXPECT_LT(engine_->steps.size(), 60U);
  const auto stats = loop_->stats();
  EXPECT_GT(stats.guessed_right, 60U);
  EXPECT_LE(stats.guessed_right, stats.guessed_tokens);
  // What it left is what was written: an answer that goes on from it is the same.
  const std::string more = "prompt" + heard->text;
  const auto next = ask(asking(more, 20));
  run();
  EXPECT_EQ((*next->end)->reused_tokens, more.size() - 1);
  EXPECT_EQ(next->text, FakeEngine::alone(more, 20, kMemory));
}

TEST_F(AnswerLoopTest, GuessesNothingBesideOthersAndNothingThatCostsMore) {
  make({.step_time = 10ms, .memory = kMemory});
  EXPECT_TRUE(loop_->warm_up());
  ask(asking("prompt", 60));
  ask(asking("another", 60));
  run();
  for (const auto& step : engine_->steps) EXPECT_TRUE(step.items == 1 || step.guessed == 0);
  make(
      {.step_time = 0ms, .memory = kMemory});  // a step of two tokens takes twice as long as of one
  EXPECT_TRUE(loop_->warm_up());
  ask(asking("prompt", 120));
  run();
  EXPECT_EQ(loop_->stats().guessed_tokens, 0U);
}

TEST_F(AnswerLoopTest, GuessesStopWhereTheAnswerDoes) {
  for (const std::size_t tokens : {40U, 41U, 42U, 43U, 44U}) {
    make({.step_time = 10ms, .memory = kMemory});
    EXPECT_TRUE(loop_->warm_up());
    const std::string whole = FakeEngine::alone("prompt", 120, kMemory);
    GenerationRequest request = asking("prompt", static_cast<std::uint32_t>(tokens));
    const auto limited = ask(request);
    run();
    EXPECT_EQ(limited->text, whole.substr(0, tokens));
    request.max_tokens = 120;
    request.stop = {whole.substr(tokens, 26)};
    const auto stopped = ask(request);
    run();
    EXPECT_EQ(stopped->text, whole.substr(0, whole.find(request.stop.front())));
    EXPECT_EQ((*stopped->end)->finish_reason, "stop");
  }
}

TEST_F(AnswerLoopTest, ANewcomerWaitsForNoMoreThanOneChunk) {
  make();
  EXPECT_TRUE(loop_->warm_up());
  ask(asking("w", 60, Urgency::kBackground));  // something is being written: no long chunks
  loop_->step();
  const auto long_one = ask(asking(std::string(200, 'b'), 5, Urgency::kBackground));
  loop_->step();
  const auto newcomer = ask_within_next_step();
  run();
  const auto alone = 1ms + 8ms;
  const auto chunk = 1ms + 1ms + 20ms;
  EXPECT_LE(newcomer->heard->first - newcomer->came, chunk + alone);
  EXPECT_LT(newcomer->heard->ended, long_one->first);
  EXPECT_EQ(long_one->text, FakeEngine::alone(std::string(200, 'b'), 5));
}

TEST_F(AnswerLoopTest, ALongChunkIsGivenUpForANewcomer) {
  make();
  EXPECT_TRUE(loop_->warm_up());
  const auto long_one = ask(asking(std::string(200, 'b'), 5, Urgency::kBackground));
  const auto newcomer = ask_within_next_step();
  loop_->step();
  EXPECT_GT(engine_->steps.back().tokens, 40U) << "alone it reads long chunks";
  run();
  EXPECT_LE(newcomer->heard->first - newcomer->came, 1ms + 8ms) << "as on an idle machine";
  EXPECT_EQ(long_one->text, FakeEngine::alone(std::string(200, 'b'), 5));
}

TEST_F(AnswerLoopTest, ANewcomerGoesBeforeAnswersBeingWrittenInTheBackground) {
  make();
  std::vector<std::shared_ptr<Heard>> background;
  for (char name = 'a'; name < 'e'; ++name)
    background.push_back(ask(asking({name}, 50, Urgency::kBackground)));
  for (int i = 0; i < 10; ++i) loop_->step();
  const auto came = clock_->now;
  const auto question = ask(asking("question", 5));
  run();
  EXPECT_LE(question->first - came, 1ms + 8ms) << "as on an idle machine";
  EXPECT_EQ(question->text, FakeEngine::alone("question", 5));
  for (char name = 'a'; name < 'e'; ++name) {
    EXPECT_EQ(background[static_cast<std::size_t>(name - 'a')]->text, FakeEngine::alone({name}, 50))
        << "one lost its slot meanwhile and went on";
  }
  EXPECT_EQ(loop_->stats().counts.preempted, 1U);
}

TEST_F(AnswerLoopTest, TheBackgroundKeepsItsShareBesideAnAnswerBeingWritten) {
  make();
  const auto background = ask(asking("background", 200, Urgency::kBackground));
  loop_->step();
  const auto question = ask(asking("question", 200));
  while (!question->end) loop_->step();
  const std::size_t written = background->text.size();
  EXPECT_GT(written, 20U);
  EXPECT_LT(written, 100U);
}

TEST_F(AnswerLoopTest, TheEarliestDeadlineGoesFirst) {
  auto schedule = small();
  schedule.running_max = 1;
  make({}, schedule);
  const auto first = ask(asking("first", 5));
  loop_->step();
  const auto patient = ask(asking("patient", 5), in(10s));
  const auto urgent = ask(asking("urgent", 5), in(5s));
  const auto never = ask(asking("never", 5));
  run();
  EXPECT_LT(urgent->ended, patient->first);
  EXPECT_LT(patient->ended, never->first);
}

TEST_F(AnswerLoopTest, TenantsShareWhateverOneOfThemAsksFor) {
  auto schedule = small();
  schedule.running_max = 1;
  schedule.queue_max = 100;
  make({.context = 256, .cells = 512, .slots = 8, .step_time = 100ms}, schedule);
  std::vector<std::shared_ptr<Heard>> greedy;
  GenerationRequest request = asking("", 10);
  request.tenant = "greedy";
  for (int i = 0; i < 40; ++i) {
    request.messages[0].content = "greedy " + std::to_string(i);
    greedy.push_back(ask(request, in(std::chrono::hours(1))));
  }
  for (int i = 0; i < 25; ++i) loop_->step();
  request.tenant = "modest";
  request.messages[0].content = "modest";
  const auto modest = ask(request);  // no deadline: behind all of them by rule
  run();
  const auto before =
      std::ranges::count_if(greedy, [&](const auto& each) { return each->ended < modest->first; });
  EXPECT_LE(before, 6) << "about its quantum, not its 40 answers";
}

TEST_F(AnswerLoopTest, RefusesAtOnceWhatCannotComeInTime) {
  make();
  EXPECT_TRUE(loop_->warm_up());
  const auto first = ask(asking(std::string(200, 'x'), 5), in(290ms));
  EXPECT_FALSE(refusal_);
  ask(asking(std::string(50, 'z'), 5), in(295ms));
  ASSERT_TRUE(refusal_);
  EXPECT_EQ(refusal_->error.code, ErrorCode::kUnavailable);
  EXPECT_THAT(refusal_->error.message, HasSubstr("the deadline is in 295 ms"));
  EXPECT_GE(refusal_->retry_after, 1s);
  ask(asking(std::string(50, 'z'), 5), in(100ms));
  ASSERT_TRUE(refusal_) << "it would overtake, and make late who was let in";
  EXPECT_THAT(refusal_->error.message, HasSubstr("would make others late"));
  const auto later = ask(asking(std::string(50, 'z'), 5), in(2s));
  EXPECT_FALSE(refusal_) << "there is time enough";
  const auto quick = ask(asking("quick", 5), in(100ms));
  EXPECT_FALSE(refusal_) << "so little makes nobody late";
  run();
  for (const auto& each : {first, later, quick}) EXPECT_TRUE(*each->end);
  EXPECT_EQ(loop_->stats().refused, 2U);
}

TEST_F(AnswerLoopTest, TheQueueIsBounded) {
  make();
  for (int i = 0; i < 16; ++i) {
    ask(asking("q", 5));
    EXPECT_FALSE(refusal_);
  }
  ask(asking("q", 5));
  ASSERT_TRUE(refusal_);
  EXPECT_EQ(refusal_->error.code, ErrorCode::kUnavailable);
  EXPECT_TRUE(refusal_->retry_after);
  EXPECT_EQ(loop_->stats().counts.waiting, 16U);
  run();
  EXPECT_EQ(loop_->stats().answers, 16U);
}

TEST_F(AnswerLoopTest, SaysBothNumbersWhenThePromptIsTooLong) {
  make();
  ask(asking(std::string(256, 'x'), 5));
  ASSERT_TRUE(refusal_);
  EXPECT_EQ(refusal_->error.code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(refusal_->error.message, HasSubstr("256 tokens, the model's context 256"));
  const auto full = ask(asking(std::string(255, 'x'), 5));
  run();
  EXPECT_EQ(full->text.size(), 1U) << "what fits";
  EXPECT_EQ((*full->end)->finish_reason, "length");
}

TEST_F(AnswerLoopTest, WhoHasGoneLeavesBeforeTheNextStep) {
  make();
  const CancelToken cancel;
  std::vector<std::shared_ptr<Heard>> gone;
  for (int i = 0; i < 12; ++i) gone.push_back(ask(asking("gone", 50), Deadline::never(), cancel));
  const auto stays = ask(asking("stays", 50));
  for (int i = 0; i < 5; ++i) loop_->step();
  cancel.cancel();
  loop_->step();
  for (const auto& each : gone) {
    ASSERT_TRUE(each->end);
    EXPECT_EQ(each->end->error().code, ErrorCode::kCancelled);
  }
  EXPECT_EQ(loop_->stats().counts.running, 1U);
  run();
  EXPECT_EQ(stays->text, FakeEngine::alone("stays", 50));
}

TEST_F(AnswerLoopTest, GivesUpAStepThatNobodyWants) {
  make();
  const CancelToken cancel;
  const auto heard = ask(asking(std::string(100, 'x'), 5), Deadline::never(), cancel);
  engine_->before_step = [&] { cancel.cancel(); };
  const auto before = clock_->now;
  run();
  EXPECT_EQ(clock_->now, before) << "nothing was computed";
  EXPECT_EQ(heard->end->error().code, ErrorCode::kCancelled);
}

TEST_F(AnswerLoopTest, ADeadlineEndsAnAnswerWithWhatIsWritten) {
  make();
  const auto written = ask(asking("written", 200), in(50ms));
  const auto unwritten = ask(asking(std::string(200, 'x'), 5), in(60ms));
  run();
  ASSERT_TRUE(*written->end);
  EXPECT_EQ((*written->end)->finish_reason, "length");
  EXPECT_GT((*written->end)->completion_tokens, 0U);
  EXPECT_EQ(unwritten->end->error().code, ErrorCode::kDeadlineExceeded);
}

TEST_F(AnswerLoopTest, CountsWhatAStoppedAnswerUsed) {
  make();
  const std::string whole = FakeEngine::alone("prompt", 20);
  GenerationRequest request = asking("prompt", 20);
  request.stop = {whole.substr(6, 2)};
  const auto heard = ask(request);
  run();
  const std::size_t at = whole.find(request.stop[0]);
  EXPECT_EQ(heard->text, whole.substr(0, at));
  EXPECT_EQ((*heard->end)->finish_reason, "stop");
  EXPECT_EQ((*heard->end)->completion_tokens, at + 2);
  EXPECT_EQ((*heard->end)->prompt_tokens, 6U);
}

TEST_F(AnswerLoopTest, AFailedStepEndsThoseInItAndNoOthers) {
  make();
  const auto broken = ask(asking("broken", 10));
  engine_->fail_next = true;
  loop_->step();
  EXPECT_EQ(broken->end->error().code, ErrorCode::kInternal);
  const auto next = ask(asking("broken no more", 10));
  run();
  EXPECT_EQ(next->text, FakeEngine::alone("broken no more", 10));
}

TEST_F(AnswerLoopTest, AStepThatNeverEndsIsNoticed) {
  make();
  EXPECT_TRUE(loop_->warm_up());
  ask(asking("one", 3));
  bool after_a_minute = false;
  engine_->before_step = [&] {
    clock_->now += 59s;
    EXPECT_FALSE(loop_->stuck());
    clock_->now += 2s;
    after_a_minute = loop_->stuck();
  };
  loop_->step();
  EXPECT_TRUE(after_a_minute);
  EXPECT_FALSE(loop_->stuck()) << "it did end";
}

TEST_F(AnswerLoopTest, AStepComputesWithTheThreadsLeasedForIt) {
  make();
  GenerationRequest request = asking("one", 3);
  request.threads = 1;
  ask(request);
  run();
  EXPECT_EQ(engine_->steps.back().threads, 1U);
  ask(asking("two", 3));
  run();
  EXPECT_EQ(engine_->steps.back().threads, 2U);
}

TEST_F(AnswerLoopTest, AnEndingLoopTellsWhoWaits) {
  make();
  const auto heard = ask(asking("one", 3));
  loop_.reset();
  ASSERT_TRUE(heard->end);
  EXPECT_EQ(heard->end->error().code, ErrorCode::kUnavailable);
}

/// Random answers of all kinds beside each other, with too little room, some leaving: each text is
/// what the model says when it is alone.
class AnswerLoopStress : public AnswerLoopTest, public testing::WithParamInterface<bool> {};

TEST_P(AnswerLoopStress, EveryAnswerReadsAsIfItWereAlone) {
  std::minstd_rand random(7);
  const auto roll = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  for (int round = 0; round < 40; ++round) {
    make({.context = 64, .cells = 80, .slots = 6, .can_cut = GetParam()});
    struct Asked {
      std::string prompt;
      std::uint32_t tokens;
      CancelToken cancel;
      std::shared_ptr<Heard> heard;
    };
    std::vector<Asked> asked;
    for (int turn = 0; turn < 200; ++turn) {
      if (roll(4) == 0) {
        std::string prompt(roll(3) * 12, static_cast<char>('A' + roll(2)));
        prompt += std::string(1 + roll(20), static_cast<char>('a' + roll(3)));
        GenerationRequest request = asking(prompt, 1 + roll(20), static_cast<Urgency>(roll(3)));
        request.tenant = std::string(roll(2), 't');
        const CancelToken cancel;
        auto heard =
            ask(request, roll(2) == 0 ? in(std::chrono::minutes(1 + roll(60))) : Deadline::never(),
                cancel);
        if (!refusal_) asked.push_back({prompt, request.max_tokens, cancel, std::move(heard)});
      }
      if (!asked.empty() && roll(15) == 0)
        asked[roll(static_cast<std::uint32_t>(asked.size()))].cancel.cancel();
      loop_->step();
    }
    run();
    for (const Asked& each : asked) {
      ASSERT_TRUE(each.heard->end);
      if (!*each.heard->end) continue;
      ASSERT_EQ(each.heard->text, FakeEngine::alone(each.prompt, each.tokens)) << each.prompt;
    }
    const auto counts = loop_->stats().counts;
    EXPECT_EQ(counts.running + counts.waiting, 0U);
  }
}

INSTANTIATE_TEST_SUITE_P(States, AnswerLoopStress, testing::Bool());

TEST_F(AnswerLoopTest, ASpeedMeasuredLongAgoDoesNotRefuseForEver) {
  make();
  ASSERT_TRUE(loop_->warm_up());
  engine_->before_step = [this] { clock_->now += 30s; };  // a machine that is busy
  ask(asking(std::string(40, 's'), 2));
  run();
  engine_->before_step = nullptr;
  ask(asking("a question of some length", 2), in(1s));
  EXPECT_TRUE(refusal_);
  clock_->now += 11s;
  const auto heard = ask(asking("question", 2), in(1s));
  EXPECT_FALSE(refusal_);
  run();
  EXPECT_EQ(heard->text, FakeEngine::alone("question", 2));
}

}  // namespace
}  // namespace knap::models::runner
