#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "runner/answer_loop_fixture.hpp"

// Passages that are read ahead, and prompts that take them as known parts.

namespace knap::models::runner {
namespace {

using testing::HasSubstr;

class ReadAheadTest : public AnswerLoopTest {
 protected:
  void make_with_room(FakeEngine::Traits traits = {}, std::uint64_t bytes = 1U << 20) {
    make(traits, small(), {.memory_bytes = bytes, .folder = {}, .disk_bytes = 0, .model = {}});
  }
  std::shared_ptr<Heard> read(const std::string& passage, Urgency urgency = Urgency::kBackground) {
    auto heard = std::make_shared<Heard>(clock_);
    refusal_ = loop_->read_ahead(passage, urgency, 1, Deadline::never(), {}, heard);
    return heard;
  }
  static GenerationRequest asking_of(const std::vector<MessagePart>& parts,
                                     std::uint32_t tokens = 5) {
    GenerationRequest request = asking("", tokens);
    request.messages[0].parts = parts;
    return request;
  }
  std::size_t tokens_read() const {
    std::size_t total = 0;
    for (const auto& step : engine_->steps) total += step.tokens;
    return total;
  }
};

TEST_F(ReadAheadTest, APassageIsPutInInsteadOfBeingRead) {
  make_with_room();
  const std::string one(40, 'p'), two(30, 'q');
  for (const auto& each : {std::string("1:"), std::string("2:"), one, two}) read(each);
  run();
  engine_->steps.clear();
  const auto heard = ask(asking_of({{.text = "Notes: "},
                                    {.text = "short", .lead = "1:", .known = one},
                                    {.text = "short", .lead = "2:", .known = two},
                                    {.text = " Why?"}}));
  run();
  ASSERT_TRUE(heard->end && *heard->end);
  EXPECT_EQ(heard->text, FakeEngine::alone("Notes: 1:" + one + "2:" + two + " Why?", 5));
  EXPECT_EQ(engine_->joined, 4U);
  EXPECT_EQ(tokens_read(), std::string("Notes:  Why?").size() + 4) << "and what was written";
  EXPECT_EQ((*heard->end)->reused_tokens, 74U);
  EXPECT_EQ(loop_->stats().known_tokens, 74U);
  EXPECT_EQ(loop_->stats().passages.hits, 2U);
}

TEST_F(ReadAheadTest, WithoutItsStateTheTextIsRead) {
  make_with_room();
  read("known");
  run();
  const auto unread = ask(asking_of({{.text = "short", .known = "never read"}, {.text = " Why?"}}));
  const auto no_lead =
      ask(asking_of({{.text = "[1] short", .lead = "[1]", .known = "known"}, {.text = "?"}}));
  run();
  EXPECT_EQ(unread->text, FakeEngine::alone("short Why?", 5));
  EXPECT_EQ(no_lead->text, FakeEngine::alone("[1] short?", 5));
  EXPECT_EQ(engine_->joined, 0U);
  EXPECT_EQ(loop_->stats().passages.misses, 2U);
}

TEST_F(ReadAheadTest, AStateIsSharedWithWhoHasTheSameBeginningOnly) {
  make_with_room({.context = 256, .cells = 512, .slots = 8});
  const std::string passage(60, 'p');
  read(passage);
  run();
  engine_->steps.clear();
  const auto first = ask(asking_of({{.text = "s"}, {.text = "", .known = passage}, {.text = "A"}}));
  run();
  // Asked in plain words: what was put in is not taken for what is read.
  const auto plain = ask(asking("s" + passage + "B", 5));
  const auto again = ask(asking_of({{.text = "s"}, {.text = "", .known = passage}, {.text = "C"}}));
  run();
  EXPECT_EQ(first->text, FakeEngine::alone("s" + passage + "A", 5));
  EXPECT_EQ(plain->text, FakeEngine::alone("s" + passage + "B", 5));
  EXPECT_EQ(again->text, FakeEngine::alone("s" + passage + "C", 5));
  EXPECT_EQ((*plain->end)->reused_tokens, 1U);
  EXPECT_EQ((*again->end)->reused_tokens, 61U);
}

TEST_F(ReadAheadTest, APromptThatEndsWithAPassageIsReadToItsEnd) {
  make_with_room();
  read("passage");
  run();
  const auto heard = ask(asking_of({{.text = "s"}, {.text = "", .known = "passage"}}));
  run();
  EXPECT_EQ(heard->text, FakeEngine::alone("spassage", 5));
}

TEST_F(ReadAheadTest, ReadingGivesWayAndComesBack) {
  make_with_room();
  const auto reading = read(std::string(100, 'p'));
  const auto newcomer = ask_within_next_step();
  run();
  EXPECT_EQ(newcomer->heard->text, FakeEngine::alone("question", 5));
  ASSERT_TRUE(reading->end && *reading->end);
  EXPECT_LT(newcomer->heard->ended, reading->ended);
  EXPECT_EQ((*reading->end)->prompt_tokens, 100U);
}

TEST_F(ReadAheadTest, WhatIsHeldIsNotReadAgain) {
  make_with_room();
  read("passage");
  run();
  engine_->steps.clear();
  const auto again = read("passage");
  ASSERT_TRUE(again->end && *again->end);
  EXPECT_EQ((*again->end)->prompt_tokens, 0U);
  EXPECT_FALSE(loop_->step());
}

TEST_F(ReadAheadTest, LeavesNoCellAndNoSlotBehind) {
  make_with_room();
  const auto before = loop_->stats().counts;
  for (char name = 'a'; name < 'z'; ++name) read(std::string(50, name));
  run();
  EXPECT_EQ(loop_->stats().counts.free_cells, before.free_cells);
  EXPECT_EQ(loop_->stats().counts.running, 0U);
}

TEST_F(ReadAheadTest, AStateThatTheEngineRefusesFailsThatAnswerAndIsForgotten) {
  make_with_room();
  read("passage");
  run();
  engine_->fail_join = true;
  const auto heard =
      ask(asking_of({{.text = "s"}, {.text = "x", .known = "passage"}, {.text = "?"}}));
  const auto other = ask(asking("other", 5));
  run();
  ASSERT_TRUE(heard->end);
  EXPECT_EQ((*heard->end).error().code, ErrorCode::kInternal);
  EXPECT_EQ(other->text, FakeEngine::alone("other", 5));
  engine_->fail_join = false;
  const auto again =
      ask(asking_of({{.text = "s"}, {.text = "x", .known = "passage"}, {.text = "?"}}));
  run();
  EXPECT_EQ(again->text, FakeEngine::alone("sx?", 5));
}

TEST_F(ReadAheadTest, SaysWhyItReadsNothing) {
  make({}, small());
  read("passage");
  ASSERT_TRUE(refusal_);
  EXPECT_EQ(refusal_->error.code, ErrorCode::kUnsupported);
  make_with_room({.can_cut = false});
  read("passage");
  ASSERT_TRUE(refusal_);
  EXPECT_EQ(refusal_->error.code, ErrorCode::kUnsupported);
  make_with_room();
  read(std::string(200, 'p'));
  ASSERT_TRUE(refusal_);
  EXPECT_EQ(refusal_->error.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(refusal_->error.message, HasSubstr("200"));
  read("");
  ASSERT_TRUE(refusal_);
}

TEST_F(ReadAheadTest, APassageOfTwoQuotesStandsInThePromptOnce) {
  make_with_room();
  const std::string passage(20, 'p');
  read(passage);
  run();
  const auto heard = ask(asking_of(
      {{.text = "one", .known = passage}, {.text = "two", .known = passage}, {.text = "?"}}));
  run();
  EXPECT_EQ(heard->text, FakeEngine::alone(passage + "?", 5));
}

// Whatever comes, in any order, with little room: each answer is what it would be alone.
TEST_F(ReadAheadTest, AnyMixOfKnownAndUnknownWritesTheSame) {
  std::mt19937 random(7);
  make_with_room({.context = 128, .cells = 200, .slots = 6}, 400);
  const auto passage = [](unsigned i) {
    return std::string(10 + i * 3, static_cast<char>('p' + i));
  };
  std::vector<std::pair<std::shared_ptr<Heard>, std::string>> asked;
  for (int round = 0; round < 300; ++round) {
    const auto a = static_cast<unsigned>(random() % 6);
    const unsigned b = (a + 1 + static_cast<unsigned>(random() % 5)) % 6;
    if (random() % 3 == 0) read(passage(a));
    if (random() % 2 == 0) {
      auto request = asking_of({{.text = "sys"},
                                {.text = passage(a), .known = passage(a)},
                                {.text = passage(b), .known = passage(b)},
                                {.text = std::string("Q") + std::to_string(random() % 5)}},
                               static_cast<std::uint32_t>(1 + random() % 8));
      request.urgency = static_cast<Urgency>(random() % 3);
      const std::string whole = "sys" + passage(a) + passage(b) + request.messages[0].parts[3].text;
      const auto heard = ask(request);
      if (!refusal_) asked.emplace_back(heard, FakeEngine::alone(whole, request.max_tokens));
    }
    if (random() % 2 == 0) loop_->step();
  }
  run();
  EXPECT_GT(asked.size(), 50U);
  for (const auto& [heard, text] : asked) EXPECT_EQ(heard->text, text);
  EXPECT_GT(engine_->joined, 20U);
}

}  // namespace
}  // namespace knap::models::runner
