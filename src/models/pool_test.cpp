#include "pool.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>

#include "fake_runner.hpp"
#include "knap/base/mutex.hpp"

namespace knap::models {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr std::uint64_t kMiB = 1U << 20;

class PoolTest : public testing::Test {
 protected:
  void open(std::uint64_t budget) {
    options_.memory_bytes = budget;
    pool_ = RunnerPool::create(options_, metrics_);
  }
  std::shared_ptr<RunnerPool::Slot> add(const std::string& name, std::uint64_t bytes,
                                        Keep keep = Keep::kOnDemand,
                                        std::chrono::milliseconds load_time = 1ms) {
    return pool_->add({.name = name,
                       .bytes = bytes,
                       .arithmetic = "all of it weights",
                       .keep = keep,
                       .make = [this, bytes, load_time] {
                         auto runner = std::make_shared<FakeRunner>(world_, bytes);
                         runner->load_time_ = load_time;
                         return runner;
                       }});
  }
  Result<RunnerPool::Use> use(const std::shared_ptr<RunnerPool::Slot>& slot) {
    return pool_->use(slot, Deadline::after(20s), {});
  }
  std::string state(const std::shared_ptr<RunnerPool::Slot>& slot) const {
    return pool_->state(slot).state;
  }
  static FakeRunner& fake(const RunnerPool::Use& use) {
    return dynamic_cast<FakeRunner&>(use.runner());
  }
  template <typename Condition>
  static bool eventually(const Condition& condition) {
    for (const Deadline patience = Deadline::after(20s); !patience.expired();) {
      if (condition()) return true;
      std::this_thread::sleep_for(1ms);
    }
    return false;
  }

  World world_;
  observe::Registry metrics_;
  RunnerPool::Options options_{.drain_after = 20ms, .look_interval = 5ms};
  std::shared_ptr<RunnerPool> pool_;
};

TEST_F(PoolTest, LoadsWhatIsWantedAndNothingElse) {
  open(100 * kMiB);
  const auto a = add("a", 10 * kMiB);
  const auto b = add("b", 10 * kMiB);
  EXPECT_EQ(state(a), "installed");
  ASSERT_TRUE(use(a));
  EXPECT_EQ(state(a), "ready");
  EXPECT_EQ(state(b), "installed");
  EXPECT_EQ(world_.made, 1);
}

TEST_F(PoolTest, RefusesATooLargeModelAtOnceWithTheArithmetic) {
  open(100 * kMiB);
  const auto pinned = add("pin", 40 * kMiB, Keep::kPinned);
  const auto large = add("large", 80 * kMiB);
  const auto refused = use(large);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(refused.error().message, HasSubstr("needs 0.08 GiB (all of it weights)"));
  EXPECT_THAT(refused.error().message, HasSubstr("allows 0.10 GiB, of which pinned models hold"));
  EXPECT_THAT(state(large), HasSubstr("failed: model large needs"));
  EXPECT_EQ(world_.made, 0);
}

TEST_F(PoolTest, EvictsWhatIsIdleAndCheapestToBringBack) {
  open(100 * kMiB);
  const auto dear = add("dear", 40 * kMiB, Keep::kOnDemand, 10'000ms);
  const auto cheap = add("cheap", 40 * kMiB, Keep::kOnDemand, 10ms);
  ASSERT_TRUE(use(dear));
  ASSERT_TRUE(use(cheap));
  ASSERT_TRUE(use(add("third", 40 * kMiB)));
  EXPECT_EQ(state(dear), "ready");
  EXPECT_EQ(state(cheap), "installed");
  EXPECT_EQ(pool_->totals().evictions, 1U);
}

TEST_F(PoolTest, EvictsWhatIsSeldomUsedOfEqualCost) {
  open(100 * kMiB);
  const auto seldom = add("seldom", 40 * kMiB, Keep::kOnDemand, 100ms);
  const auto often = add("often", 40 * kMiB, Keep::kOnDemand, 100ms);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(use(often));
  ASSERT_TRUE(use(seldom));
  ASSERT_TRUE(use(add("third", 40 * kMiB)));
  EXPECT_EQ(state(often), "ready");
  EXPECT_EQ(state(seldom), "installed");
}

TEST_F(PoolTest, NeverEvictsAPinnedModel) {
  open(100 * kMiB);
  const auto pinned = add("pin", 60 * kMiB, Keep::kPinned);
  ASSERT_TRUE(use(pinned));
  const auto a = add("a", 40 * kMiB);
  const auto b = add("b", 40 * kMiB);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(use(a));
    ASSERT_TRUE(use(b));
  }
  EXPECT_EQ(state(pinned), "ready");
  EXPECT_EQ(pool_->state(pinned).loads, 1U);
}

TEST_F(PoolTest, NoUseOfALoadedModelWaitsWhileAnotherLoads) {
  open(100 * kMiB);
  const auto loaded = add("loaded", 10 * kMiB);
  ASSERT_TRUE(use(loaded));
  world_.gated = true;
  const auto slow = add("slow", 10 * kMiB);
  std::thread waiter([&] { EXPECT_TRUE(use(slow)); });
  ASSERT_TRUE(eventually([&] { return state(slow) == "loading"; }));
  const auto begin = SteadyClock::now();
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(pool_->use_now(loaded));
  EXPECT_EQ(state(slow), "loading");
  EXPECT_LT(SteadyClock::now() - begin, 5s);
  world_.gated = false;
  waiter.join();
}

TEST_F(PoolTest, UseNowBeginsToLoadAndDoesNotWait) {
  open(100 * kMiB);
  const auto a = add("a", 10 * kMiB);
  EXPECT_EQ(pool_->use_now(a).error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(eventually([&] { return pool_->use_now(a).has_value(); }));
}

// Each of three is wanted without pause by two callers, and two of them never fit together.
TEST_F(PoolTest, AllGetTheirTurnWithinTheBudgetWithoutDeadlock) {
  open(100 * kMiB);
  std::vector<std::shared_ptr<RunnerPool::Slot>> slots;
  for (int i = 0; i < 3; ++i)
    slots.push_back(add(std::string(1, static_cast<char>('a' + i)), (60 + 10 * i) * kMiB));
  std::array<std::atomic<int>, 3> answered{};
  std::atomic<bool> over = false;
  std::vector<std::thread> callers;
  for (int i = 0; i < 6; ++i) {
    callers.emplace_back([&, i] {
      while (!over) {
        const auto held = use(slots[i % 3]);
        ASSERT_TRUE(held) << held.error().message;
        ++answered[i % 3];
        std::this_thread::sleep_for(1ms);
      }
    });
  }
  EXPECT_TRUE(eventually([&] {
    return answered[0] > 20 && answered[1] > 20 && answered[2] > 20 && pool_->totals().loads > 9;
  }));
  over = true;
  for (auto& caller : callers) caller.join();
  EXPECT_LE(world_.peak, 100 * kMiB);
}

TEST_F(PoolTest, WaitsForABusyModelUntilTheDeadlineAndSaysWhatIsTaken) {
  options_.drain_after = 10ms;
  open(100 * kMiB);
  const auto a = add("a", 60 * kMiB);
  const auto b = add("b", 60 * kMiB);
  {
    const auto held = use(a);
    ASSERT_TRUE(held);
    const auto late = pool_->use(b, Deadline::after(50ms), {});
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, ErrorCode::kUnavailable);
    EXPECT_THAT(late.error().message, HasSubstr("waits for memory: 0.06 GiB of the 0.10 GiB"));
    CancelToken gone;
    gone.cancel();
    EXPECT_EQ(pool_->use(b, Deadline::never(), gone).error().code, ErrorCode::kCancelled);
    // Nobody waits any more: it takes new work again.
    EXPECT_TRUE(use(a));
  }
  EXPECT_TRUE(use(b));
  EXPECT_LE(world_.peak, 100 * kMiB);
}

TEST_F(PoolTest, UnloadsWhatWasNotUsedForLong) {
  options_.keep_alive = 30ms;
  open(0);
  const auto a = add("a", 10 * kMiB);
  const auto warm = add("warm", 10 * kMiB, Keep::kWarm);
  ASSERT_TRUE(use(a));
  pool_->want(warm);
  EXPECT_TRUE(eventually([&] { return state(a) == "installed"; }));
  EXPECT_EQ(state(warm), "ready");
  EXPECT_TRUE(eventually([&] { return world_.alive == 1; }));
}

TEST_F(PoolTest, ReplacesALeakingRunnerWhenItsUseEnds) {
  open(2'000 * kMiB);
  const auto a = add("a", 10 * kMiB, Keep::kWarm);
  {
    const auto held = use(a);
    ASSERT_TRUE(held);
    fake(*held).leak(300 * kMiB);
    ASSERT_TRUE(eventually([&] { return pool_->totals().leaks == 1; }));
    EXPECT_EQ(world_.made, 1) << "its answer may end";
  }
  EXPECT_TRUE(eventually([&] { return world_.made == 2 && state(a) == "ready"; }));
  EXPECT_TRUE(eventually([&] { return world_.resident == 10 * kMiB; }));
}

TEST_F(PoolTest, StopsARunnerThatLeaksWithoutEndInTheMiddleOfItsUse) {
  open(2'000 * kMiB);
  const auto a = add("a", 10 * kMiB);
  const auto held = use(a);
  ASSERT_TRUE(held);
  fake(*held).leak(600 * kMiB);
  EXPECT_TRUE(eventually([&] { return world_.resident == 0; }));
}

TEST_F(PoolTest, RemembersThatAModelTookMoreThanExpected) {
  open(200 * kMiB);
  const auto a = add("a", 10 * kMiB);
  const auto b = add("b", 150 * kMiB);
  {
    const auto held = use(a);
    ASSERT_TRUE(held);
    fake(*held).leak(90 * kMiB);
    ASSERT_TRUE(eventually([&] { return pool_->state(a).expected_bytes == 100 * kMiB; }));
  }
  ASSERT_TRUE(use(b));
  EXPECT_EQ(state(a), "installed") << "both do not fit, as measured";
  EXPECT_LE(world_.peak, 200 * kMiB);
}

TEST_F(PoolTest, AFailedModelSaysWhyCountsNothingAndIsLoadedAnewOnRetry) {
  open(100 * kMiB);
  const auto a = add("a", 80 * kMiB);
  {
    const auto held = use(a);
    ASSERT_TRUE(held);
    fake(*held).fail();
  }
  EXPECT_EQ(use(a).error().code, ErrorCode::kFailedPrecondition);
  ASSERT_TRUE(use(add("b", 80 * kMiB)));
  pool_->retry(a);
  EXPECT_TRUE(eventually([&] { return use(a).has_value(); }));
}

TEST_F(PoolTest, ARetiredModelEndsWithItsLastUse) {
  open(0);
  const auto a = add("a", 10 * kMiB);
  {
    const auto held = use(a);
    ASSERT_TRUE(held);
    pool_->retire(a);
    EXPECT_EQ(use(a).error().code, ErrorCode::kUnavailable);
    EXPECT_EQ(world_.resident, 10 * kMiB);
  }
  EXPECT_TRUE(eventually([&] { return world_.alive == 0; }));
}

TEST_F(PoolTest, AHundredCyclesLeaveNothingBehind) {
  open(60 * kMiB);
  const auto a = add("a", 40 * kMiB);
  const auto b = add("b", 40 * kMiB);
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(use(a));
    ASSERT_TRUE(use(b));
  }
  EXPECT_EQ(pool_->totals().loads, 100U);
  EXPECT_EQ(world_.alive, 1);
  EXPECT_LE(world_.peak, 60 * kMiB);
  pool_->stop();
  EXPECT_EQ(world_.resident, 0U);
}

TEST_F(PoolTest, RefusesUsesOnceStopped) {
  open(0);
  const auto a = add("a", 10 * kMiB);
  pool_->stop();
  EXPECT_EQ(use(a).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(pool_->use_now(a).error().code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace knap::models
