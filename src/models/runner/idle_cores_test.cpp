#include "runner/idle_cores.hpp"

#include <gtest/gtest.h>

namespace knap::models::runner {
namespace {

TEST(IdleCores, AreThoseThatNobodyElseUses) {
  EXPECT_EQ(threads_for_load(2, 2, "0.10 0.20 0.30 1/284 3315"), 2U);
  EXPECT_EQ(threads_for_load(2, 2, "0.10 0.20 0.30 2/284 3315"), 1U);
  EXPECT_EQ(threads_for_load(4, 8, "0.10 0.20 0.30 3/284 3315"), 4U);
  EXPECT_EQ(threads_for_load(8, 8, "0.10 0.20 0.30 3/284 3315"), 6U);
}

TEST(IdleCores, LeaveOneThreadAtLeast) {
  EXPECT_EQ(threads_for_load(2, 2, "13.80 12.59 10.95 13/284 3315"), 1U);
  EXPECT_EQ(threads_for_load(0, 2, "0.10 0.20 0.30 1/284 3315"), 1U);
}

TEST(IdleCores, AreAllWhereNobodyTells) {
  for (const char* text : {"", "1", "0.1 0.2 0.3", "0.1 0.2 0.3 x/y"})
    EXPECT_EQ(threads_for_load(2, 2, text), 2U) << text;
}

}  // namespace
}  // namespace knap::models::runner
