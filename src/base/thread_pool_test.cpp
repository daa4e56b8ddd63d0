#include "knap/base/thread_pool.hpp"

#include <atomic>

#include <gtest/gtest.h>

namespace knap {
namespace {

TEST(ThreadPool, RunsEveryTaskBeforeItEnds) {
  std::atomic<int> count = 0;
  {
    ThreadPool pool({.name = "test", .threads = 3, .queue_limit = 1000});
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(pool.submit([&count] { ++count; }));
  }
  EXPECT_EQ(count, 100);
}

TEST(ThreadPool, RefusesWhenTheQueueIsFull) {
  Mutex gate;
  gate.lock();
  {
    ThreadPool pool({.name = "test", .threads = 1, .queue_limit = 1});
    std::atomic<bool> started = false;
    ASSERT_TRUE(pool.submit([&] {
      started = true;
      const MutexLock lock(gate);
    }));
    while (!started) std::this_thread::yield();
    ASSERT_TRUE(pool.submit([] {}));
    EXPECT_EQ(pool.submit([] {}).error().code, ErrorCode::kResourceExhausted);
    gate.unlock();
  }
}

}  // namespace
}  // namespace knap
