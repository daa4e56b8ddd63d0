#include "runner/steps.hpp"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

namespace knap::models::runner {
namespace {

/// Keeps every core that this process may use busy as long as it lives.
class BusyCores {
 public:
  BusyCores() {
    cpu_set_t allowed;
    if (::sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
    for (std::size_t core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &allowed)) threads_.emplace_back([this, core] { keep_busy(core); });
    }
    while (busy_ < threads_.size()) std::this_thread::yield();
  }
  ~BusyCores() {
    ended_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  BusyCores(const BusyCores&) = delete;
  BusyCores& operator=(const BusyCores&) = delete;

 private:
  /// Two of these threads on one core, however briefly, would leave something on another.
  void keep_busy(std::size_t core) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    EXPECT_EQ(::pthread_setaffinity_np(::pthread_self(), sizeof(one), &one), 0);
    ++busy_;
    while (!ended_.load(std::memory_order_relaxed)) {
    }
  }

  std::atomic<bool> ended_ = false;
  std::atomic<std::size_t> busy_ = 0;
  std::vector<std::thread> threads_;
};

void compute(std::chrono::microseconds time) {
  const auto computed = [] {
    std::timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  };
  for (const auto until = computed() + time; computed() < until;) {
  }
}

TEST(Steps, EachRunsOnceAndTheFirstFailureEndsThem) {
  ThreadPool pool({.name = "steps", .threads = 3});
  std::vector<std::atomic<int>> runs(100);
  const auto count = [&](std::size_t i) {
    ++runs[i];
    return Status();
  };
  ASSERT_TRUE(run_steps(pool, 3, runs.size(), count));
  for (const auto& each : runs) EXPECT_EQ(each, 1);
  ASSERT_TRUE(run_steps(pool, 3, 0, count));
  const Status failed = run_steps(pool, 1, runs.size(), [&](std::size_t i) -> Status {
    if (i == 5) return make_error(ErrorCode::kInternal, "step 5");
    return count(i);
  });
  EXPECT_EQ(failed.error().message, "step 5");
  EXPECT_EQ(runs[4], 2);
  EXPECT_EQ(runs[6], 1);
}

TEST(Steps, AtTheLowPaceEveryThreadStepsBack) {
  ThreadPool pool({.name = "steps", .threads = 2});
  ASSERT_TRUE(run_steps(
      pool, 2, 20,
      [](std::size_t) -> Status {
        if (::getpriority(PRIO_PROCESS, static_cast<id_t>(::gettid())) < 10)
          return make_error(ErrorCode::kInternal, "at the usual pace");
        return {};
      },
      Pace::kLow));
}

TEST(SpareThreads, TakeOnlyWhatIsLeft) {
  SpareThreads threads(2, 8);
  std::vector<std::atomic<int>> runs(50);
  ASSERT_TRUE(threads.run(runs.size(), [&](std::size_t i) -> Status {
    ++runs[i];
    if (::sched_getscheduler(0) != SCHED_IDLE)
      return make_error(ErrorCode::kInternal, "an ordinary thread");
    return {};
  }));
  for (const auto& each : runs) EXPECT_EQ(each, 1);
  EXPECT_FALSE(threads.insists());
}

TEST(SpareThreads, GoOnAtALowPriorityWhileNothingIsLeft) {
  SpareThreads threads(1, 8);
  std::vector<std::atomic<int>> runs(10);
  const BusyCores others;
  ASSERT_TRUE(threads.run(runs.size(), [&](std::size_t i) {
    ++runs[i];
    compute(std::chrono::milliseconds(5));
    return Status();
  }));
  for (const auto& each : runs) EXPECT_EQ(each, 1);
  EXPECT_TRUE(threads.insists());
  // What follows does not wait for a look first.
  ASSERT_TRUE(threads.run(1, [&](std::size_t) -> Status {
    if (::sched_getscheduler(0) == SCHED_IDLE)
      return make_error(ErrorCode::kInternal, "waits for what is left");
    return {};
  }));
}

/// Whether steps that wait for those of another caller, which compute all the while, were taken for
/// starved.
bool insists_when_one_waits_for_another() {
  SpareThreads threads(1, 8);
  std::atomic<bool> begun = false;
  std::thread first([&] {
    EXPECT_TRUE(threads.run(1, [&](std::size_t) {
      begun = true;
      compute(std::chrono::milliseconds(1'300));
      return Status();
    }));
  });
  while (!begun) std::this_thread::yield();
  EXPECT_TRUE(threads.run(1, [](std::size_t) { return Status(); }));
  first.join();
  return threads.insists();
}

TEST(SpareThreads, WaitingForAnotherCallerIsNotStarving) {
  // The machine may be busy with something else, and the first caller starved indeed.
  int attempts = 0;
  while (insists_when_one_waits_for_another() && ++attempts < 5) {
  }
  EXPECT_LT(attempts, 5);
}

}  // namespace
}  // namespace knap::models::runner
