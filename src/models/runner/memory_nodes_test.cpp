#include "runner/memory_nodes.hpp"

#include <gtest/gtest.h>

namespace knap::models::runner {
namespace {

TEST(MemoryNodes, CountsTheKernelsLists) {
  EXPECT_EQ(count_listed("0\n"), 1U);
  EXPECT_EQ(count_listed("0-1\n"), 2U);
  EXPECT_EQ(count_listed("0-3,8,10-11"), 7U);
}

TEST(MemoryNodes, WhatIsNoListIsOneNode) {
  for (const char* list : {"", "\n", "x", "0-", "3-1", "0,", "0;1", "0-99999999999999999999", "-1"})
    EXPECT_EQ(count_listed(list), 1U) << list;
}

TEST(MemoryNodes, ThisMachineHasOne) { EXPECT_GE(memory_nodes(), 1U); }

}  // namespace
}  // namespace knap::models::runner
