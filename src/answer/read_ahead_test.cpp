#include "read_ahead.hpp"

#include <gtest/gtest.h>

#include <atomic>

#include "fakes.hpp"
#include "prompt.hpp"

namespace knap::answer {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ReadAheadTest : public testing::Test {
 protected:
  void SetUp() override { models_.generator_model = std::make_shared<FakeGenerator>("words"); }
  void start(double share = 1) {
    reader_ = std::make_unique<ReadAhead>(ReadAhead::Options{.time_share = share, .waiting_max = 4},
                                          models_, leases_, metrics_);
  }
  std::vector<std::string> read() const { return models_.generator_model->passages_read(); }
  template <typename Condition>
  static bool wait_for(const Condition& condition) {
    const Deadline deadline = Deadline::after(seconds(10));
    while (!condition() && !deadline.expired()) std::this_thread::yield();
    return condition();
  }

  FakeModels models_;
  service::ComputeLeases leases_{2};
  observe::Registry metrics_;
  std::unique_ptr<ReadAhead> reader_;
};

TEST_F(ReadAheadTest, ReadsTheMostWantedFirstAndEachOnce) {
  auto held = leases_.acquire(service::Lane::kGeneration, 2, Deadline::never(), {});
  start();
  reader_->want("first", 0.5);
  ASSERT_TRUE(wait_for([&] { return reader_->waiting() == 0; })) << "it waits for a lease";
  for (const char* text : {"a", "b", "c", "b"}) reader_->want(text, 1);
  held = {};
  ASSERT_TRUE(wait_for([&] { return read().size() == 4; }));
  EXPECT_EQ(read(), (std::vector<std::string>{"first", "b", "c", "a"}));
  reader_->want("b", 1);
  EXPECT_EQ(reader_->waiting(), 0U) << "read lately";
}

TEST_F(ReadAheadTest, KeepsOfTooManyTheMostWanted) {
  auto held = leases_.acquire(service::Lane::kGeneration, 2, Deadline::never(), {});
  start();
  reader_->want("first", 1);
  ASSERT_TRUE(wait_for([&] { return reader_->waiting() == 0; }));
  for (int i = 0; i < 100; ++i) reader_->want(std::to_string(i), i == 7 ? 5 : 1);
  EXPECT_EQ(reader_->waiting(), 4U);
  held = {};
  ASSERT_TRUE(wait_for([&] { return read().size() == 5; }));
  EXPECT_EQ(read()[1], "7");
}

TEST_F(ReadAheadTest, GivesUpWhenSomebodyComputesAndTriesAgain) {
  std::atomic<int> begun = 0;
  std::atomic<bool> gave_up = false;
  models_.generator_model->on_read_ahead = [&](const CancelToken& cancel) {
    if (++begun > 1) return;
    gave_up = wait_for([&] { return cancel.cancelled(); });
  };
  start();
  reader_->want("passage", 1);
  ASSERT_TRUE(wait_for([&] { return begun == 1; }));
  {
    const auto lease = leases_.acquire(service::Lane::kInteractive, 1, Deadline::never(), {});
    ASSERT_TRUE(wait_for([&] { return gave_up.load(); }));
  }
  ASSERT_TRUE(wait_for([&] { return read().size() == 1; }));
}

TEST_F(ReadAheadTest, EndsAtOnceWhileItReads) {
  std::atomic<bool> begun = false;
  models_.generator_model->on_read_ahead = [&](const CancelToken& cancel) {
    begun = true;
    static_cast<void>(wait_for([&] { return cancel.cancelled(); }));
  };
  start(0.01);
  reader_->want("passage", 1);
  ASSERT_TRUE(wait_for([&] { return begun.load(); }));
  reader_.reset();
}

TEST(KnownPassage, IsOneLineThatNothingInItCanEnd) {
  index::PassageView passage;
  passage.title = "Title";
  passage.headings = {"Title", "Part [1]"};
  passage.plain = "One.\nNOTES-abc\n<|im_end|> Two [2].";
  const std::string text = known_passage(passage);
  EXPECT_EQ(text, "(Title > Part (1)) One. NOTES-abc ‹|im_end¦> Two (2).\n");
  passage.plain.assign(10'000, 'x');
  EXPECT_EQ(known_passage(passage), "");
  passage.plain.clear();
  EXPECT_EQ(known_passage(passage), "");
}

TEST(KnownPassage, StandsBesideTheQuoteAndTheContentIsTheQuotes) {
  Quote quote;
  quote.citation.id = 1;
  quote.citation.title = "Title";
  quote.shown = "Because.";
  quote.known = "(Title) Long. Because. Long.\n";
  const auto messages = build_prompt("Why?", "", {quote}, "n", 700);
  ASSERT_EQ(messages[1].parts.size(), 3U);
  EXPECT_EQ(messages[1].parts[1].known, quote.known);
  EXPECT_EQ(messages[1].parts[1].lead, "[1] ");
  EXPECT_EQ(messages[1].content, models::text_of(messages[1]));
  EXPECT_EQ(messages[1].content.find("Long"), std::string::npos);
}

}  // namespace
}  // namespace knap::answer
