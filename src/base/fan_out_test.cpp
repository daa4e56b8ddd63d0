#include "knap/base/fan_out.hpp"

#include <atomic>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

namespace knap {
namespace {

TEST(FanOut, RunsEachPartOnceWithAndWithoutHelpers) {
  ThreadPool pool({.name = "test", .threads = 3});
  for (const std::size_t threads : {0U, 1U, 3U, 9U}) {
    for (const std::size_t count : {0U, 1U, 2U, 100U}) {
      std::vector<std::atomic<int>> runs(count);
      fan_out({&pool, threads}, count, [&](std::size_t i) { ++runs[i]; });
      for (const auto& run : runs) EXPECT_EQ(run, 1);
    }
  }
}

TEST(FanOut, NeverWaitsForABusyPool) {
  ThreadPool pool({.name = "test", .threads = 1, .queue_limit = 4});
  std::atomic<bool> release = false;
  ASSERT_TRUE(pool.submit([&] {
    while (!release) std::this_thread::yield();
  }));
  int sum = 0;  // only the caller works
  for (int round = 0; round < 10; ++round) fan_out({&pool, 1}, 10, [&](std::size_t) { ++sum; });
  EXPECT_EQ(sum, 100);
  release = true;
}

TEST(FanOut, SharesTheWork) {
  ThreadPool pool({.name = "test", .threads = 2});
  std::atomic<int> together = 0, most = 0;
  for (int round = 0; round < 1'000 && most < 2; ++round) {
    fan_out({&pool, 2}, 8, [&](std::size_t) {
      int now = ++together, seen = most;
      while (now > seen && !most.compare_exchange_weak(seen, now)) {
      }
      for (int i = 0; i < 1'000; ++i) std::atomic_signal_fence(std::memory_order_seq_cst);
      std::this_thread::yield();
      --together;
    });
  }
  EXPECT_GE(most, 2);
}

}  // namespace
}  // namespace knap
