#include "knap/service/work_pool.hpp"

#include <sched.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "knap/base/mutex.hpp"
#include "knap/service/adaptive_limit.hpp"
#include "knap/service/retry_planner.hpp"

namespace knap::service {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;

TEST(AdaptiveLimit, LetsABurstPass) {
  AdaptiveLimit limit({.least = 2, .most = 100});
  auto now = SteadyClock::now();
  for (int i = 0; i < 1'000; ++i, now += milliseconds(1))
    limit.waited(milliseconds(i % 50 == 0 ? 1 : 400), now);
  EXPECT_FALSE(limit.overloaded());
  EXPECT_EQ(limit.limit(), 100U);
}

TEST(AdaptiveLimit, FallsWhileTheQueueStandsAndRisesAgain) {
  AdaptiveLimit limit({.least = 4, .most = 100});
  auto now = SteadyClock::now();
  for (int i = 0; i < 10'000; ++i, now += milliseconds(1)) limit.waited(milliseconds(300), now);
  EXPECT_TRUE(limit.overloaded());
  EXPECT_EQ(limit.limit(), 4U);
  for (int i = 0; i < 10'000; ++i, now += milliseconds(1)) limit.waited(milliseconds(3), now);
  EXPECT_FALSE(limit.overloaded());
  EXPECT_EQ(limit.limit(), 100U);
}

TEST(RetryPlanner, SpreadsClientsOverTheBudget) {
  RetryPlanner planner;
  const auto now = SteadyClock::now();
  // 100 a second get done, 10 of them may be retries: the hundredth of a wave comes back after 10
  // s.
  EXPECT_LE(planner.next(100, now), seconds(2));
  for (int i = 0; i < 98; ++i) planner.next(100, now);
  EXPECT_GE(planner.next(100, now), seconds(10));
  for (int i = 0; i < 10'000; ++i) EXPECT_LE(planner.next(100, now), RetryPlanner::kLongest);
  EXPECT_LE(planner.next(100, now + seconds(40)), seconds(2)) << "an old wave is forgotten";
}

TEST(RetryPlanner, GivesDifferentClientsDifferentTimes) {
  RetryPlanner planner;
  std::vector<std::int64_t> times;
  for (int i = 0; i < 300; ++i) times.push_back(planner.next(1'000, SteadyClock::now()).count());
  EXPECT_NE(*std::ranges::min_element(times), *std::ranges::max_element(times));
}

/// Holds the threads of a pool until it opens.
class Gate {
 public:
  void pass() {
    ++inside;
    while (!open.load()) std::this_thread::yield();
  }
  std::atomic<int> inside = 0;
  std::atomic<bool> open = false;
};

class WorkPoolTest : public testing::Test {
 protected:
  static WorkPool::Options one_thread(WorkPool::Levels levels = WorkPool::Levels::kOn) {
    WorkPool::Options options;
    options.name = "test";
    options.threads = 1;
    options.levels = levels;
    options.lanes[0] = {.weight = 8, .running = 1, .waiting = 100};
    options.lanes[1] = {.weight = 4, .running = 1, .waiting = 100};
    options.lanes[2] = {.weight = 1, .running = 1, .waiting = 3};
    return options;
  }

  WorkPool::Work note(WorkLane lane, int number, Deadline deadline = Deadline::never()) {
    return {lane,
            deadline,
            CancelToken(),
            [this, number] { push(number); },
            [this, number] { push(-number); },
            {}};
  }
  void push(int number) {
    const MutexLock lock(mutex_);
    order_.push_back(number);
  }
  std::vector<int> order() {
    const MutexLock lock(mutex_);
    return order_;
  }
  /// Occupies the one thread.
  void hold(WorkPool& pool) {
    EXPECT_FALSE(pool.submit(
        {WorkLane::kSearch, Deadline::never(), CancelToken(), [this] { gate_.pass(); }, [] {}}));
    while (gate_.inside.load() == 0) std::this_thread::yield();
  }

  observe::Registry metrics_;
  Gate gate_;
  Mutex mutex_;
  std::vector<int> order_ KNAP_GUARDED_BY(mutex_);
};

TEST_F(WorkPoolTest, RunsWhatWaitsBeforeItEnds) {
  {
    WorkPool pool(one_thread(), metrics_);
    hold(pool);
    EXPECT_FALSE(pool.submit(note(WorkLane::kSearch, 1)));
    EXPECT_FALSE(pool.submit(note(WorkLane::kSearch, 2)));
    gate_.open = true;
  }
  EXPECT_THAT(order(), ElementsAre(1, 2));
}

// A thread needs a moment to take what waits: meanwhile that is no line to stand in.
TEST_F(WorkPoolTest, ABurstThatFindsThreadsFreeIsTaken) {
  constexpr std::size_t kThreads = 8;
  WorkPool::Options options = one_thread();
  options.threads = kThreads;
  for (auto& lane : options.lanes) lane.running = kThreads;
  WorkPool pool(options, metrics_);
  pool.served(WorkLane::kInteractive, seconds(3));  // what came before took long
  for (int turn = 0; turn < 20; ++turn) {
    std::atomic<std::size_t> left = kThreads;
    for (std::size_t i = 0; i < kThreads; ++i) {
      const auto refusal =
          pool.submit({i % 2 == 0 ? WorkLane::kInteractive : WorkLane::kSearch,
                       Deadline::after(seconds(2)), CancelToken(), [&left] { --left; }, [] {}});
      EXPECT_FALSE(refusal) << turn << "." << i;
      if (refusal) --left;
    }
    while (left.load() > 0 || pool.state(WorkLane::kInteractive).running > 0 ||
           pool.state(WorkLane::kSearch).running > 0) {
      std::this_thread::yield();
    }
  }
}

TEST_F(WorkPoolTest, RefusesAtOnceWhatIsOverTheBoundAndSaysWhenToReturn) {
  WorkPool pool(one_thread(), metrics_);
  hold(pool);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(pool.submit(note(WorkLane::kBackground, 1)));
  const auto refusal = pool.submit(note(WorkLane::kBackground, 1));
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->reason, Refusal::Reason::kFull);
  EXPECT_GE(refusal->retry_after, seconds(1));
  EXPECT_FALSE(pool.submit(note(WorkLane::kInteractive, 1))) << "other lanes have room";
  EXPECT_EQ(metrics_.sum("knap_work_refused_total", {{"reason", "full"}}), 1);
  gate_.open = true;
}

TEST_F(WorkPoolTest, DropsWhatIsLateWithoutRunningIt) {
  {
    WorkPool pool(one_thread(), metrics_);
    hold(pool);
    EXPECT_FALSE(pool.submit(note(WorkLane::kSearch, 1, Deadline::after(milliseconds(1)))));
    auto cancelled = note(WorkLane::kSearch, 2);
    cancelled.cancel.cancel();
    EXPECT_FALSE(pool.submit(std::move(cancelled)));
    EXPECT_FALSE(pool.submit(note(WorkLane::kSearch, 3)));
    const auto later = Deadline::after(milliseconds(3));
    while (!later.expired()) std::this_thread::yield();
    gate_.open = true;
  }
  EXPECT_THAT(order(), ElementsAre(-1, -2, 3));
}

// The door goes by what was promised; whoever is in keeps his own deadline.
TEST_F(WorkPoolTest, WhatMissedItsPromiseIsRunUntilItsDeadline) {
  {
    WorkPool pool(one_thread(), metrics_);
    hold(pool);
    auto work = note(WorkLane::kSearch, 1, Deadline::after(seconds(30)));
    work.promised = Deadline::after(milliseconds(1));
    EXPECT_FALSE(pool.submit(std::move(work)));
    const auto later = Deadline::after(milliseconds(3));
    while (!later.expired()) std::this_thread::yield();
    gate_.open = true;
  }
  EXPECT_THAT(order(), ElementsAre(1));
  EXPECT_EQ(metrics_.sum("knap_work_refused_total", {{"reason", "dropped"}}), 0);
}

TEST_F(WorkPoolTest, AStandingQueueServesTheNewestFirstUnlessToldOtherwise) {
  for (const auto order : {WorkPool::Order::kNewestFirst, WorkPool::Order::kOldestFirst}) {
    auto options = one_thread();
    options.order = order;
    options.lanes[1].target = milliseconds(1);
    observe::Registry metrics;
    std::vector<int> numbers;
    {
      WorkPool pool(options, metrics);
      gate_.open = false;
      gate_.inside = 0;
      hold(pool);
      const auto add = [&](int number) {
        EXPECT_FALSE(pool.submit({WorkLane::kSearch,
                                  Deadline::never(),
                                  CancelToken(),
                                  [&numbers, number] { numbers.push_back(number); },
                                  [] {},
                                  {}}));
      };
      // The queue stands once its shortest wait of an interval is over the target.
      const auto enough = Deadline::after(seconds(10));
      add(0);
      while (!pool.state(WorkLane::kSearch).overloaded && !enough.expired()) {
        std::this_thread::sleep_for(milliseconds(50));
        if (pool.state(WorkLane::kSearch).waiting < 8) {
          add(static_cast<int>(pool.state(WorkLane::kSearch).waiting));
        }
      }
      ASSERT_TRUE(pool.state(WorkLane::kSearch).overloaded);
      gate_.open = true;
    }
    ASSERT_GE(numbers.size(), 2U);
    const bool newest = order == WorkPool::Order::kNewestFirst;
    EXPECT_EQ(numbers.front() == 0, !newest);
  }
}

TEST_F(WorkPoolTest, RefusesWhatByMeasuredPaceWouldBeLate) {
  WorkPool pool(one_thread(), metrics_);
  std::atomic<bool> done = false;
  EXPECT_FALSE(pool.submit({WorkLane::kSearch, Deadline::never(), CancelToken(),
                            [&] {
                              const auto until = Deadline::after(milliseconds(50));
                              while (!until.expired()) std::this_thread::yield();
                              done = true;
                            },
                            [] {}}));
  while (!done || pool.state(WorkLane::kSearch).running > 0) std::this_thread::yield();
  EXPECT_GE(pool.state(WorkLane::kSearch).usual, milliseconds(50));
  hold(pool);
  const auto refusal = pool.submit(note(WorkLane::kSearch, 1, Deadline::after(milliseconds(20))));
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->reason, Refusal::Reason::kLate);
  auto promised = note(WorkLane::kSearch, 1, Deadline::after(seconds(20)));
  promised.promised = Deadline::after(milliseconds(20));
  EXPECT_TRUE(pool.submit(std::move(promised))) << "by its promise, not its deadline";
  EXPECT_GE(refusal->predicted, milliseconds(50));
  EXPECT_FALSE(pool.submit(note(WorkLane::kSearch, 2, Deadline::after(seconds(20)))));
  gate_.open = true;
}

TEST_F(WorkPoolTest, TakesAnythingWhileAThreadIsFree) {
  // However slow the last one was: else nobody would ever learn that it is quick again.
  WorkPool pool(one_thread(), metrics_);
  pool.served(WorkLane::kSearch, seconds(100));
  EXPECT_FALSE(pool.submit(note(WorkLane::kSearch, 1, Deadline::after(seconds(1)))));
}

TEST_F(WorkPoolTest, GivesLanesTimeByTheirWeights) {
  std::atomic<int> interactive = 0, background = 0;
  {
    auto options = one_thread();
    options.lanes[2].waiting = 100;
    WorkPool pool(options, metrics_);
    hold(pool);
    const auto work = [&](WorkLane lane, std::atomic<int>& count) {
      return WorkPool::Work{lane, Deadline::never(), CancelToken(),
                            [&count] {
                              const auto until = Deadline::after(std::chrono::microseconds(200));
                              while (!until.expired()) std::this_thread::yield();
                              ++count;
                            },
                            [] {}};
    };
    for (int i = 0; i < 80; ++i) {
      EXPECT_FALSE(pool.submit(work(WorkLane::kInteractive, interactive)));
      EXPECT_FALSE(pool.submit(work(WorkLane::kBackground, background)));
    }
    gate_.open = true;
    while (interactive.load() < 80) std::this_thread::yield();
    // 8 to 1, and the scheduler of the machine may add a few.
    EXPECT_GE(background.load(), 3);
    EXPECT_LE(background.load(), 40);
  }
  EXPECT_EQ(background.load(), 80);
}

TEST_F(WorkPoolTest, WithoutLevelsItIsOneQueue) {
  {
    WorkPool pool(one_thread(WorkPool::Levels::kOff), metrics_);
    hold(pool);
    for (int i = 1; i <= 5; ++i)
      EXPECT_FALSE(pool.submit(note(WorkLane::kBackground, i, Deadline::after(milliseconds(0)))));
    EXPECT_FALSE(pool.submit(note(WorkLane::kInteractive, 6)));
    gate_.open = true;
  }
  EXPECT_THAT(order(), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(WorkPool, PinnedThreadsStayOnOneCoreEach) {
  observe::Registry metrics;
  WorkPool::Options options;
  options.name = "pinned";
  options.threads = 3;
  options.lanes = {
      {{1, 3, 9, milliseconds(100)}, {1, 3, 9, milliseconds(100)}, {1, 3, 9, milliseconds(100)}}};
  options.pinning = WorkPool::Pinning::kOn;
  std::array<std::atomic<int>, 6> cores{};
  {
    WorkPool pool(std::move(options), metrics);
    for (auto& count : cores) {
      WorkPool::Work work;
      work.drop = [] {};
      work.run = [&count] {
        cpu_set_t set;
        CPU_ZERO(&set);
        EXPECT_EQ(::sched_getaffinity(0, sizeof(set), &set), 0);
        count = CPU_COUNT(&set);
      };
      EXPECT_FALSE(pool.submit(std::move(work)));
    }
  }
  for (const auto& count : cores) EXPECT_EQ(count.load(), 1);
}

}  // namespace
}  // namespace knap::service
