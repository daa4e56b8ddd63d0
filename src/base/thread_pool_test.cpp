#include "knap/base/thread_pool.hpp"

#include <atomic>
#include <future>

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
  std::promise<void> started, gate;
  ThreadPool pool({.name = "test", .threads = 1, .queue_limit = 1});
  ASSERT_TRUE(pool.submit([&] {
    started.set_value();
    gate.get_future().wait();
  }));
  started.get_future().wait();
  ASSERT_TRUE(pool.submit([] {}));
  EXPECT_EQ(pool.submit([] {}).error().code, ErrorCode::kResourceExhausted);
  gate.set_value();
}

}  // namespace
}  // namespace knap
