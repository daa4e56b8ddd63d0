#include "runner/scheduler.hpp"

#include <gtest/gtest.h>

namespace knap::models::runner {
namespace {

using namespace std::chrono_literals;

Scheduler::Options small() {
  Scheduler::Options options;
  options.cells = 1'000;
  options.slots = 4;
  options.running_max = 2;
  options.queue_max = 8;
  options.step_tokens = 100;
  options.chunk_tokens_min = 10;
  options.chunk_time = 100ms;
  options.long_chunk = 4;
  return options;
}

class SchedulerTest : public testing::Test {
 protected:
  Scheduler::Key admit(std::size_t prompt, Urgency urgency = Urgency::kInteractive,
                       Token token = 'a') {
    Scheduler::Job job;
    job.prompt.assign(prompt, token);
    job.max_tokens = 100;
    job.urgency = urgency;
    Scheduler::Key key{};
    EXPECT_FALSE(scheduler_.admit(std::move(job), now_, key));
    return key;
  }
  /// Plans and completes a step in which each token takes a millisecond.
  Scheduler::Plan step() {
    auto plan = scheduler_.plan(now_);
    const auto elapsed = 1ms * static_cast<long>(plan.prompt_tokens + plan.written_tokens);
    scheduler_.complete(plan, elapsed);
    now_ += elapsed;
    for (const auto& item : plan.items) {
      if (item.output) scheduler_.append(item.key, 'z');
    }
    return plan;
  }

  Scheduler scheduler_{small()};
  Scheduler::Time now_{1h};
};

TEST_F(SchedulerTest, NothingToDoIsAnEmptyPlan) {
  EXPECT_TRUE(scheduler_.plan(now_).items.empty());
}

TEST_F(SchedulerTest, AStepNeverHoldsMoreThanItsTokens) {
  admit(250);
  admit(250, Urgency::kInteractive, 'b');
  for (int i = 0; i < 20; ++i) {
    const auto plan = step();
    EXPECT_LE(plan.prompt_tokens + plan.written_tokens, 100U);
    EXPECT_FALSE(plan.items.empty());
  }
}

TEST_F(SchedulerTest, ChunksTakeTheTimeTheyMay) {
  admit(1);
  step();
  scheduler_.speed().record(50, 0, 100ms);  // 2 ms a token
  admit(250, Urgency::kInteractive, 'b');
  auto plan = scheduler_.plan(now_);
  EXPECT_EQ(plan.prompt_tokens, 50U);
  EXPECT_FALSE(plan.is_long);
  scheduler_.abandon(plan);
  for (int i = 0; i < 100; ++i) scheduler_.speed().record(50, 0, 5s);
  EXPECT_EQ(scheduler_.plan(now_).prompt_tokens, 10U) << "never fewer than the least";
}

TEST_F(SchedulerTest, ChunksAreLongWhileNothingIsWritten) {
  scheduler_.speed().record(50, 0, 250ms);  // 5 ms a token: 20 in a chunk
  const auto key = admit(250, Urgency::kBackground);
  const auto plan = scheduler_.plan(now_);
  EXPECT_EQ(plan.prompt_tokens, 80U);
  EXPECT_TRUE(plan.is_long);
  EXPECT_EQ(scheduler_.predict(plan), 400ms);
  scheduler_.abandon(plan);
  scheduler_.end(key);
  admit(250);
  EXPECT_EQ(scheduler_.plan(now_).prompt_tokens, 100U) << "a whole step when it is alone";
}

TEST_F(SchedulerTest, AnAbandonedStepIsPlannedAgain) {
  const auto key = admit(50);
  const auto first = scheduler_.plan(now_);
  ASSERT_EQ(first.items.size(), 1U);
  scheduler_.abandon(first);
  const auto again = scheduler_.plan(now_);
  ASSERT_EQ(again.items.size(), 1U);
  EXPECT_EQ(again.items[0].key, key);
  EXPECT_EQ(again.items[0].begin, 0U);
  EXPECT_EQ(again.items[0].tokens.size(), first.items[0].tokens.size());
}

TEST_F(SchedulerTest, LessUrgentWorkIsOutWhileAFirstTokenIsDue) {
  admit(30, Urgency::kBackground);
  step();
  admit(150, Urgency::kSearch, 'b');
  admit(150, Urgency::kInteractive, 'c');
  for (int i = 0; i < 2; ++i) {
    const auto plan = step();
    EXPECT_EQ(plan.lower_tokens, 0U);
    EXPECT_EQ(plan.top, Urgency::kInteractive);
  }
  const auto plan = step();
  EXPECT_EQ(plan.items.size(), 2U) << "the search beside the answer; the background waits for both";
}

TEST_F(SchedulerTest, TheLeastUrgentGivesUpItsSlotAndComesBack) {
  admit(30, Urgency::kBackground);
  const auto second = admit(30, Urgency::kBackground, 'b');
  step();
  EXPECT_EQ(scheduler_.counts().running, 2U);
  const auto urgent = admit(20, Urgency::kInteractive, 'c');
  step();
  EXPECT_EQ(scheduler_.counts().preempted, 1U);
  EXPECT_EQ(scheduler_.counts().waiting, 1U);
  scheduler_.end(urgent);
  step();
  EXPECT_EQ(scheduler_.counts().running, 2U);
  EXPECT_EQ(scheduler_.progress(second).reused_tokens, 0U);
}

TEST_F(SchedulerTest, PredictsFromWhatIsAhead) {
  Scheduler::Job job;
  job.prompt.assign(100, 'q');
  EXPECT_EQ(scheduler_.predict(job).count(), 0) << "nothing is measured yet";
  scheduler_.speed().record(50, 0, 50ms);
  const auto alone = scheduler_.predict(job);
  EXPECT_GE(alone, 100ms);
  EXPECT_LE(alone, 150ms);
  admit(200);
  EXPECT_GE(scheduler_.predict(job), 300ms);
  job.urgency = Urgency::kBackground;
  EXPECT_GE(scheduler_.predict(job), 300ms);
  admit(200, Urgency::kBackground, 'b');
  job.urgency = Urgency::kInteractive;
  EXPECT_LE(scheduler_.predict(job), 500ms) << "background work is not ahead of it";
  job.prompt.assign(100, 'a');
  EXPECT_LE(scheduler_.predict(job), 400ms) << "what it shares is read once";
}

TEST_F(SchedulerTest, TenantsThatLeaveAreForgotten) {
  for (int i = 0; i < 5'000; ++i) {
    Scheduler::Job job;
    job.prompt.assign(5, 'a');
    job.tenant = std::to_string(i);
    Scheduler::Key key{};
    ASSERT_FALSE(scheduler_.admit(std::move(job), now_, key));
    scheduler_.end(key);
  }
  SUCCEED();
}

TEST(Rank, UrgencyThenDeadline) {
  using Rank = Scheduler::Rank;
  const auto at = [](int seconds) {
    return Deadline::at(Scheduler::Time{std::chrono::seconds(seconds)});
  };
  EXPECT_TRUE((Rank{Urgency::kInteractive, at(9)}.before({Urgency::kSearch, at(1)})));
  EXPECT_TRUE((Rank{Urgency::kSearch, at(1)}.before({Urgency::kSearch, at(2)})));
  EXPECT_FALSE((Rank{Urgency::kSearch, at(2)}.before({Urgency::kSearch, at(2)})));
}

TEST(StepSpeed, GuessesAsLongAsThatWritesFaster) {
  StepSpeed speed;
  const std::vector<double> sure(15, 0.95), unsure(15, 0.3), falling{0.9, 0.5, 0.2, 0.1};
  EXPECT_EQ(speed.worth_guessing(sure, 1s), 0U) << "nothing is measured yet";
  speed.record(0, 1, 40ms);
  speed.record(100, 0, 2s);  // 20 ms a token, half of what a step takes
  EXPECT_EQ(speed.guessing(3), 100ms);
  EXPECT_EQ(speed.worth_guessing(sure, 1s), 15U);
  EXPECT_EQ(speed.worth_guessing(sure, 100ms), 3U) << "no step is longer than it may be";
  EXPECT_EQ(speed.worth_guessing(sure, 99ms), 0U);
  EXPECT_EQ(speed.worth_guessing(std::span(sure).first(2), 1s), 0U) << "they fill no kernel";
  EXPECT_EQ(speed.worth_guessing(unsure, 1s), 0U);
  EXPECT_EQ(speed.worth_guessing(falling, 1s), 0U) << "2.6 tokens in 100 ms, where one takes 40";
  EXPECT_EQ(speed.worth_guessing(sure, 1s), 15U);
  EXPECT_EQ(speed.worth_guessing({}, 1s), 0U);
  speed.record_guessed(7, 90ms);
  EXPECT_EQ(speed.worth_guessing(sure, 1s), 7U) << "as measured";
  speed.record_guessed(3, 2s);
  EXPECT_EQ(speed.worth_guessing(std::span(sure).first(3), 1s), 0U) << "slow once";
  for (int i = 0; i < 300; ++i) speed.record_guessed(0, 40ms);
  EXPECT_LT(speed.guessing(3), 110ms) << "but not for ever";
  EXPECT_EQ(speed.worth_guessing(std::span(sure).first(3), 1s), 3U);
}

// Long prompts may be read with kernels that steps of few tokens do not have.
// Long prompts may be read with kernels that steps of few tokens do not have.
// Long prompts may be read with kernels that steps of few tokens do not have.
TEST(StepSpeed, GuessesCostWhatFewTokensDo) {
  StepSpeed speed;
  const std::vector<double> chances(15, 0.2);
  speed.record(0, 1, 40ms);
  speed.record(16, 0, 160ms);
  EXPECT_EQ(speed.prompt_token(), 10ms) << "nothing longer was seen yet";
  speed.record(500, 0, 500ms);
  EXPECT_LT(speed.prompt_token(), 10ms);
  EXPECT_EQ(speed.guessing(3), 70ms);
  EXPECT_EQ(speed.worth_guessing(chances, 1s), 0U);
}

TEST(StepSpeed, ChargesTheWritingFirst) {
  StepSpeed speed;
  EXPECT_FALSE(speed.measured());
  EXPECT_EQ(speed.tokens_in(100ms, 8, 512), 512U);
  speed.record(0, 4, 30ms);
  speed.record(100, 4, 130ms);
  EXPECT_EQ(speed.prompt_token(), 1ms);
  EXPECT_EQ(speed.tokens_in(100ms, 8, 512), 100U);
  EXPECT_EQ(speed.reading(100, 50, StepSpeed::Beside::kNothing), 100ms);
  EXPECT_EQ(speed.reading(100, 50, StepSpeed::Beside::kWriting), 160ms);
  speed.record(3, 0, 500ms);
  EXPECT_EQ(speed.prompt_token(), 1ms) << "too few to say anything";
}

}  // namespace
}  // namespace knap::models::runner
