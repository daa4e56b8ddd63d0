#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runner/answer_loop.hpp"
#include "runner/fake_engine.hpp"

namespace knap::models::runner {

using namespace std::chrono_literals;

class Heard final : public AnswerListener {
 public:
  explicit Heard(std::shared_ptr<FakeClock> clock) : clock_(std::move(clock)) {}
  void on_text(std::string piece, const Outcome& outcome, std::vector<TokenChance>) override {
    if (text.empty()) first = clock_->now;
    text += piece;
    so_far = outcome;
  }
  void on_end(const Result<Outcome>& outcome) override {
    EXPECT_FALSE(end) << "told twice";
    end = outcome;
    ended = clock_->now;
  }

  std::string text;
  Outcome so_far;
  std::optional<Result<Outcome>> end;
  SteadyClock::time_point first{}, ended{};

 private:
  const std::shared_ptr<FakeClock> clock_;
};

class AnswerLoopTest : public testing::Test {
 protected:
  void make(FakeEngine::Traits traits = {}, Scheduler::Options schedule = small(),
            const PassageStore::Options& passages = {}) {
    schedule.slots = traits.slots;
    auto engine = std::make_unique<FakeEngine>(traits, clock_);
    engine_ = engine.get();
    loop_ = std::make_unique<AnswerLoop>(
        std::move(engine), AnswerLoop::Options{.threads = 2,
                                               .schedule = schedule,
                                               .passages = passages,
                                               .clock = [clock = clock_] { return clock->now; },
                                               .drive = AnswerLoop::Options::Drive::kByHand});
  }
  static Scheduler::Options small() {
    Scheduler::Options options;
    options.running_max = 4;
    options.queue_max = 16;
    options.step_tokens = 64;
    options.chunk_tokens_min = 8;
    options.chunk_time = 20ms;  // 20 tokens of the fake engine
    return options;
  }
  static GenerationRequest asking(std::string prompt, std::uint32_t tokens,
                                  Urgency urgency = Urgency::kInteractive) {
    GenerationRequest request;
    request.messages = {{"user", std::move(prompt)}};
    request.max_tokens = tokens;
    request.urgency = urgency;
    return request;
  }
  std::shared_ptr<Heard> ask(const GenerationRequest& request,
                             Deadline deadline = Deadline::never(),
                             const CancelToken& cancel = {}) {
    auto heard = std::make_shared<Heard>(clock_);
    refusal_ = loop_->submit(request, deadline, cancel, heard);
    return heard;
  }
  Deadline in(SteadyClock::duration time) const { return Deadline::at(clock_->now + time); }
  void run(std::size_t steps_max = 100'000) {
    while (loop_->step()) ASSERT_GT(steps_max--, 0U);
  }

  /// A question that comes while the next step computes; null until then.
  struct Newcomer {
    SteadyClock::time_point came{};
    std::shared_ptr<Heard> heard;
  };
  std::shared_ptr<Newcomer> ask_within_next_step() {
    auto newcomer = std::make_shared<Newcomer>();
    engine_->before_step = [this, newcomer] {
      if (newcomer->heard) return;
      newcomer->came = clock_->now;
      newcomer->heard = ask(asking("question", 5));
    };
    return newcomer;
  }

  const std::shared_ptr<FakeClock> clock_ = std::make_shared<FakeClock>();
  FakeEngine* engine_ = nullptr;
  std::unique_ptr<AnswerLoop> loop_;
  std::optional<AnswerLoop::Refusal> refusal_;
};

}  // namespace knap::models::runner
