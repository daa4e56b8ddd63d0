#include "query_batcher.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <thread>

namespace knap::index {
namespace {

/// Holds its calls until it is told; vectors are {length of the text, 1}.
class HeldEmbedder final : public models::Embedder {
 public:
  std::string id() const override { return "held"; }
  std::size_t dimensions() const override { return 2; }
  std::vector<std::string> languages() const override { return {"*"}; }
  Result<models::Embeddings> embed(std::span<const std::string> texts, models::InputKind,
                                   models::Priority, Deadline deadline,
                                   const CancelToken&) override {
    const MutexLock lock(mutex_);
    calls_.emplace_back(texts.begin(), texts.end());
    const std::size_t number = calls_.size();
    changed_.notify_all();
    while (number > allowed_ && changed_.wait_until(mutex_, deadline)) {
    }
    if (deadline.expired()) return make_error(ErrorCode::kDeadlineExceeded, "too slow");
    if (fails_) return make_error(ErrorCode::kUnavailable, "the model crashed");
    models::Embeddings out;
    out.dimensions = 2;
    for (const std::string& text : texts) {
      out.values.push_back(static_cast<float>(text.size()));
      out.values.push_back(1);
    }
    if (short_) out.values.pop_back();
    return out;
  }
  void hold() { allow(0); }
  void go_on() { allow(std::numeric_limits<std::size_t>::max()); }
  /// So many calls since the beginning are not held.
  void allow(std::size_t calls) {
    const MutexLock lock(mutex_);
    allowed_ = calls;
    changed_.notify_all();
  }
  void wait_for_calls(std::size_t count) {
    const MutexLock lock(mutex_);
    while (calls_.size() < count) changed_.wait(mutex_);
  }
  std::vector<std::vector<std::string>> calls() {
    const MutexLock lock(mutex_);
    return calls_;
  }
  std::atomic<bool> fails_ = false, short_ = false;

 private:
  Mutex mutex_;
  CondVar changed_;
  std::size_t allowed_ = std::numeric_limits<std::size_t>::max();
  std::vector<std::vector<std::string>> calls_;
};

class QueryBatcherTest : public testing::Test {
 protected:
  using Vector = Result<std::vector<float>>;

  std::jthread ask(std::string text, Vector& out, Deadline deadline = Deadline::never(),
                   std::shared_ptr<models::Embedder> embedder = nullptr) {
    if (!embedder) embedder = embedder_;
    std::jthread thread([this, text, &out, deadline, embedder] {
      out = batcher_.embed(embedder, text, deadline, {});
    });
    return thread;
  }
  /// Once the thread has had the time to come to its wait: those beside it are not told apart.
  static void let_wait() { std::this_thread::sleep_for(std::chrono::milliseconds(30)); }

  service::ComputeLeases leases_{2};
  QueryBatcher batcher_{leases_};
  std::shared_ptr<HeldEmbedder> embedder_ = std::make_shared<HeldEmbedder>();
};

TEST_F(QueryBatcherTest, AQueryAloneIsACallAtOnce) {
  const auto vector = batcher_.embed(embedder_, "four", Deadline::never(), {});
  ASSERT_TRUE(vector);
  EXPECT_EQ(*vector, (std::vector<float>{4, 1}));
  EXPECT_EQ(leases_.usage().interactive, 0U);
}

TEST_F(QueryBatcherTest, WhoComesDuringACallSharesTheNext) {
  embedder_->hold();
  std::vector<Vector> got(12, Vector(std::vector<float>{}));
  {
    std::vector<std::jthread> threads;
    threads.push_back(ask("a", got[0]));
    embedder_->wait_for_calls(1);
    for (std::size_t i = 1; i < got.size(); ++i)
      threads.push_back(ask(std::string(i + 1, 'a'), got[i]));
    let_wait();
    embedder_->go_on();
  }
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_TRUE(got[i]) << got[i].error().message;
    EXPECT_EQ(*got[i], (std::vector<float>{static_cast<float>(i + 1), 1})) << i;
  }
  // One alone, eight, and the three left.
  std::vector<std::size_t> sizes;
  for (const auto& call : embedder_->calls()) sizes.push_back(call.size());
  EXPECT_EQ(sizes, (std::vector<std::size_t>{1, 8, 3}));
}

TEST_F(QueryBatcherTest, LongTextsDoNotKeepShortOnesWaiting) {
  embedder_->hold();
  std::vector<Vector> got(4, Vector(std::vector<float>{}));
  {
    std::vector<std::jthread> threads;
    threads.push_back(ask("a", got[0]));
    embedder_->wait_for_calls(1);
    threads.push_back(ask("bb", got[1]));
    let_wait();
    threads.push_back(ask(std::string(5'000, 'c'), got[2]));
    let_wait();
    threads.push_back(ask("dddd", got[3]));
    let_wait();
    embedder_->go_on();
  }
  const auto calls = embedder_->calls();
  ASSERT_EQ(calls.size(), 3U);
  EXPECT_EQ(calls[1], (std::vector<std::string>{"bb", "dddd"}));
  EXPECT_EQ(calls[2].size(), 1U);
  EXPECT_EQ((*got[2])[0], 5'000);
}

TEST_F(QueryBatcherTest, AnErrorIsToldToAllOfItsCall) {
  embedder_->hold();
  std::vector<Vector> got(3, Vector(std::vector<float>{}));
  {
    std::vector<std::jthread> threads;
    threads.push_back(ask("a", got[0]));
    embedder_->wait_for_calls(1);
    threads.push_back(ask("b", got[1]));
    threads.push_back(ask("c", got[2]));
    let_wait();
    embedder_->fails_ = true;
    embedder_->go_on();
  }
  for (const Vector& each : got) {
    ASSERT_FALSE(each);
    EXPECT_EQ(each.error().code, ErrorCode::kUnavailable);
  }
}

TEST_F(QueryBatcherTest, TheDeadlineOfOneEndsOnlyItsOwnWait) {
  embedder_->hold();
  std::vector<Vector> got(3, Vector(std::vector<float>{}));
  {
    std::vector<std::jthread> threads;
    threads.push_back(ask("a", got[0]));
    embedder_->wait_for_calls(1);
    // It will make the next call, for both, and its time ends meanwhile.
    threads.push_back(ask("b", got[1], Deadline::after(std::chrono::milliseconds(150))));
    let_wait();
    threads.push_back(ask("c", got[2]));
    let_wait();
    embedder_->allow(1);
    embedder_->wait_for_calls(3);
    embedder_->go_on();
  }
  EXPECT_EQ(embedder_->calls()[1], (std::vector<std::string>{"b", "c"}));
  EXPECT_TRUE(got[0]);
  EXPECT_EQ(got[1].error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_TRUE(got[2]) << got[2].error().message;
}

TEST_F(QueryBatcherTest, LeavesAtItsDeadlineAndLetsTheNextBegin) {
  embedder_->hold();
  std::vector<Vector> got(3, Vector(std::vector<float>{}));
  {
    std::vector<std::jthread> threads;
    threads.push_back(ask("a", got[0]));
    embedder_->wait_for_calls(1);
    threads.push_back(ask("b", got[1], Deadline::after(std::chrono::milliseconds(40))));
    threads.back().join();
    ASSERT_FALSE(got[1]);
    EXPECT_EQ(got[1].error().code, ErrorCode::kDeadlineExceeded);
    threads.push_back(ask("c", got[2]));
    let_wait();
    embedder_->go_on();
  }
  EXPECT_TRUE(got[2]);
  EXPECT_EQ(embedder_->calls().back(), (std::vector<std::string>{"c"}));
}

TEST_F(QueryBatcherTest, ModelsAreNotMixed) {
  embedder_->hold();
  const auto other = std::make_shared<HeldEmbedder>();
  std::vector<Vector> got(4, Vector(std::vector<float>{}));
  {
    std::vector<std::jthread> threads;
    threads.push_back(ask("a", got[0]));
    embedder_->wait_for_calls(1);
    threads.push_back(ask("b", got[1]));
    threads.push_back(ask("c", got[2], Deadline::never(), other));
    threads.push_back(ask("d", got[3]));
    let_wait();
    embedder_->go_on();
  }
  for (const Vector& each : got) EXPECT_TRUE(each);
  EXPECT_EQ(other->calls(), (std::vector<std::vector<std::string>>{{"c"}}));
}

TEST_F(QueryBatcherTest, RefusesVectorsOfAnotherSize) {
  embedder_->short_ = true;
  const auto vector = batcher_.embed(embedder_, "four", Deadline::never(), {});
  ASSERT_FALSE(vector);
  EXPECT_EQ(vector.error().code, ErrorCode::kCorruptData);
}

TEST_F(QueryBatcherTest, WhoHasGoneIsNotEmbedded) {
  const CancelToken gone;
  gone.cancel();
  EXPECT_EQ(batcher_.embed(embedder_, "four", Deadline::never(), gone).error().code,
            ErrorCode::kCancelled);
  EXPECT_TRUE(embedder_->calls().empty());
}

}  // namespace
}  // namespace knap::index
