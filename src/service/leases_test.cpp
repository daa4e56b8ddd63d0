#include "knap/service/leases.hpp"

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

namespace knap::service {
namespace {

using std::chrono::milliseconds;

TEST(ComputeLeases, InteractiveNeverWaits) {
  ComputeLeases leases(2);
  const auto background = leases.acquire(Lane::kBackground, 2, Deadline::never(), {});
  const auto query = leases.acquire(Lane::kInteractive, 1, Deadline::after(milliseconds(0)), {});
  ASSERT_TRUE(query);
  EXPECT_EQ(query->threads(), 1U);
  EXPECT_TRUE(leases.should_yield(Lane::kBackground));
  EXPECT_FALSE(leases.should_yield(Lane::kInteractive));
}

TEST(ComputeLeases, InteractiveGetsWhatItUsesUpToTheCores) {
  ComputeLeases leases(2);
  EXPECT_EQ(leases.acquire(Lane::kInteractive, 2, Deadline::never(), {})->threads(), 2U);
  EXPECT_EQ(leases.acquire(Lane::kInteractive, 9, Deadline::never(), {})->threads(), 2U);
}

TEST(ComputeLeases, BackgroundNeverExceedsTheCores) {
  ComputeLeases leases(2);
  const auto first = leases.acquire(Lane::kBackground, 1, Deadline::never(), {});
  const auto second = leases.acquire(Lane::kBackground, 2, Deadline::never(), {});
  EXPECT_EQ(second->threads(), 1U);
  EXPECT_EQ(leases.acquire(Lane::kBackground, 1, Deadline::after(milliseconds(5)), {}).error().code,
            ErrorCode::kDeadlineExceeded);
}

TEST(ComputeLeases, BackgroundWaitsForGenerationAndThenGoesOn) {
  ComputeLeases leases(2);
  std::atomic<bool> granted = false;
  auto generation = leases.acquire(Lane::kGeneration, 2, Deadline::never(), {});
  std::thread worker([&] {
    const auto lease = leases.acquire(Lane::kBackground, 2, Deadline::never(), {});
    granted = lease.has_value();
  });
  while (leases.usage().waiting == 0) std::this_thread::yield();
  EXPECT_FALSE(granted);
  *generation = Lease();
  worker.join();
  EXPECT_TRUE(granted);
}

TEST(ComputeLeases, AnswersOfOneModelShareItsThreads) {
  ComputeLeases leases(2);
  auto first = leases.acquire(Lane::kGeneration, 2, Deadline::never(), {}, "model");
  auto second = leases.acquire(Lane::kGeneration, 2, Deadline::after(milliseconds(0)), {}, "model");
  ASSERT_TRUE(second);
  EXPECT_EQ(second->threads(), 2U);
  EXPECT_EQ(leases.usage().generation, 2U) << "the same two threads";
  const auto other = [&](std::string_view group) {
    return leases.acquire(Lane::kGeneration, 2, Deadline::after(milliseconds(2)), {}, group);
  };
  EXPECT_FALSE(other("another"));
  EXPECT_FALSE(other({})) << "no group shares with nobody";
  *first = Lease();
  EXPECT_EQ(leases.usage().generation, 2U);
  EXPECT_FALSE(other("another"));
  *second = Lease();
  EXPECT_EQ(leases.usage().generation, 0U);
  EXPECT_TRUE(other("another"));
}

TEST(ComputeLeases, NobodyJoinsWhileAnotherGroupWaits) {
  ComputeLeases leases(2);
  auto first = leases.acquire(Lane::kGeneration, 2, Deadline::never(), {}, "model");
  std::thread waiter(
      [&] { EXPECT_TRUE(leases.acquire(Lane::kGeneration, 2, Deadline::never(), {}, "another")); });
  while (leases.usage().waiting == 0) std::this_thread::yield();
  EXPECT_FALSE(leases.acquire(Lane::kGeneration, 2, Deadline::after(milliseconds(2)), {}, "model"));
  *first = Lease();
  waiter.join();
  EXPECT_EQ(leases.usage().generation, 0U);
}

TEST(ComputeLeases, ACancelledWaiterLeavesNoTrace) {
  ComputeLeases leases(1);
  const auto generation = leases.acquire(Lane::kGeneration, 1, Deadline::never(), {});
  const CancelToken cancel;
  cancel.cancel();
  EXPECT_EQ(leases.acquire(Lane::kGeneration, 1, Deadline::never(), cancel).error().code,
            ErrorCode::kCancelled);
  EXPECT_EQ(leases.usage().waiting, 0U);
}

}  // namespace
}  // namespace knap::service
