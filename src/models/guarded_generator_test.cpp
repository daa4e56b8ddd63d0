#include "guarded_generator.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "test_folder.hpp"

namespace knap::models {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

/// Fails, hangs or answers, as it is told.
class Moody final : public Generator {
 public:
  std::atomic<int> failures = 0;  ///< So many calls fail first.
  std::atomic<int> calls = 0;
  std::shared_ptr<RetryAfter> asks;  ///< When it fails, for a second.
  std::chrono::seconds asks_for{1};
  bool hangs = false, tells_before_it_fails = false, counts = true;
  ErrorCode code = ErrorCode::kUnavailable;

  std::string id() const override { return "remote:m"; }
  std::uint32_t context_tokens() const override { return 100; }
  Result<GenerateResult> generate(const GenerateRequest&, Deadline, const CancelToken& cancel,
                                  const std::function<bool(std::string_view)>& on_token) override {
    ++calls;
    if (hangs) {
      while (!cancel.cancelled()) std::this_thread::sleep_for(1ms);
      return make_error(ErrorCode::kCancelled, "the caller has gone");
    }
    if (failures > 0) {
      --failures;
      if (asks) asks->ask(asks_for);
      if (tells_before_it_fails) on_token("Hel");
      return make_error(code, "status 500");
    }
    on_token("Hello");
    GenerateResult result;
    result.text = "Hello";
    result.finish_reason = "stop";
    if (counts) {
      result.prompt_tokens = 1'000;
      result.completion_tokens = 100;
    }
    return result;
  }
};

struct GuardedGeneratorTest : testing::Test {
  TestFolder folder;
  observe::Registry metrics;
  std::shared_ptr<Moody> inner = std::make_shared<Moody>();
  RemoteRules rules{
      .server = "h:1", .silence = 200ms, .first_pause = 1ms, .price_read = 2, .price_write = 10};
  std::filesystem::path file = folder.path() / "sent.jsonl";
  std::unique_ptr<GuardedGenerator> made;
  GenerateRequest request;

  GuardedGeneratorTest() { request.messages = {{"user", std::string(400, 'x')}}; }
  Result<GenerateResult> ask(const CancelToken& cancel = {}) {
    if (!made)
      made = std::make_unique<GuardedGenerator>(inner, rules, std::make_shared<SentLog>(file),
                                                metrics);
    return made->generate(request, Deadline::after(10s), cancel, {});
  }
  int lines() const {
    std::ifstream in(file);
    int count = 0;
    for (std::string line; std::getline(in, line);) ++count;
    return count;
  }
};

TEST_F(GuardedGeneratorTest, TriesAgainAndRecordsEveryTry) {
  inner->failures = 2;
  const auto result = ask();
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(inner->calls, 3);
  EXPECT_EQ(lines(), 3);
  EXPECT_DOUBLE_EQ(result->cost, (1'000 * 2.0 + 100 * 10.0) / 1e6);
  EXPECT_FALSE(result->tokens_estimated);
}

TEST_F(GuardedGeneratorTest, SendsNothingThatStaysHere) {
  request.reach = Reach::kThisMachine;
  const auto result = ask();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kPermissionDenied);
  EXPECT_EQ(inner->calls, 0);
  EXPECT_EQ(lines(), 0);
}

TEST_F(GuardedGeneratorTest, SendsNothingThatCannotBeRecorded) {
  file = folder.path() / "absent" / "sent.jsonl";
  const auto result = ask();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kIo);
  EXPECT_EQ(inner->calls, 0);
}

TEST_F(GuardedGeneratorTest, NeverTellsATokenTwice) {
  inner->failures = 1;
  inner->tells_before_it_fails = true;
  EXPECT_FALSE(ask());
  EXPECT_EQ(inner->calls, 1);
}

TEST_F(GuardedGeneratorTest, DoesNotTryAgainWhatTheServerRefuses) {
  inner->failures = 1;
  inner->code = ErrorCode::kInvalidArgument;
  EXPECT_FALSE(ask());
  EXPECT_EQ(inner->calls, 1);
  EXPECT_EQ(made->circuit().state(), "closed");
}

TEST_F(GuardedGeneratorTest, GivesASilentServerUp) {
  inner->hangs = true;
  rules.retries = 0;
  const auto begin = SteadyClock::now();
  const auto result = ask();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(result.error().message, HasSubstr("sent nothing for 200 ms"));
  EXPECT_LT(SteadyClock::now() - begin, 5s);
}

TEST_F(GuardedGeneratorTest, EndsWhenTheCallerGoesAndBlamesNobody) {
  inner->hangs = true;
  rules.silence = 10s;
  const CancelToken cancel;
  std::jthread caller([&] {
    std::this_thread::sleep_for(30ms);
    cancel.cancel();
  });
  const auto result = ask(cancel);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(inner->calls, 1);
  EXPECT_EQ(made->circuit().state(), "closed");
}

TEST_F(GuardedGeneratorTest, LeavesAFailingServerAlone) {
  inner->failures = 100;
  EXPECT_FALSE(ask());
  EXPECT_TRUE(made->circuit().open());
  const int calls = inner->calls;
  const auto result = ask();
  ASSERT_FALSE(result);
  EXPECT_EQ(inner->calls, calls);
  EXPECT_THAT(result.error().message, HasSubstr("left alone (open for"));
}

TEST_F(GuardedGeneratorTest, EstimatesTokensThatTheServerDoesNotTell) {
  inner->counts = false;
  const auto result = ask();
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->tokens_estimated);
  EXPECT_EQ(result->prompt_tokens, 100);
}

TEST_F(GuardedGeneratorTest, WaitsAsLongAsTheServerAsks) {
  rules.retry_after = inner->asks = std::make_shared<RetryAfter>();
  inner->failures = 1;
  const auto begin = SteadyClock::now();
  ASSERT_TRUE(ask());
  EXPECT_GE(SteadyClock::now() - begin, 950ms);
  EXPECT_EQ(inner->calls, 2);
}

TEST_F(GuardedGeneratorTest, IsNotWaitedForWhenTheServerAsksForMore) {
  rules.retry_after = inner->asks = std::make_shared<RetryAfter>();
  inner->asks_for = 30s;
  inner->failures = 1;
  const auto begin = SteadyClock::now();
  const auto refused = ask();
  EXPECT_LT(SteadyClock::now() - begin, 2s);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("left alone for 30 s"));
  EXPECT_EQ(inner->calls, 1);
  EXPECT_THAT(made->unusable(), HasSubstr("left alone"));
  EXPECT_FALSE(ask()) << "nor by the next request";
  EXPECT_EQ(inner->calls, 1);
}

TEST(RetryAfterTest, NobodyIsLeftAloneForDays) {
  RetryAfter asked;
  EXPECT_EQ(asked.left(), 0ms);
  asked.ask(std::chrono::hours(1'000'000));
  EXPECT_LE(asked.left(), RetryAfter::kLongest);
  EXPECT_GT(asked.left(), RetryAfter::kLongest - 10s);
}

}  // namespace
}  // namespace knap::models
