#include "knap/base/cores.hpp"

#include <gtest/gtest.h>
#include <sched.h>

#include <cstdlib>
#include <thread>

namespace knap {
namespace {

/// Keeps this process on one of its cores.
void keep_on_one_core() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  ASSERT_EQ(::sched_getaffinity(0, sizeof(allowed), &allowed), 0);
  for (std::size_t core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &allowed)) continue;
    CPU_ZERO(&allowed);
    CPU_SET(core, &allowed);
    break;
  }
  ASSERT_EQ(::sched_setaffinity(0, sizeof(allowed), &allowed), 0);
}

TEST(UsableCores, FollowsTheCoresThatTheProcessMayUse) {
  EXPECT_GE(usable_cores(), 1U);
  EXPECT_LE(usable_cores(), std::thread::hardware_concurrency());
  EXPECT_EXIT(
      {
        keep_on_one_core();
        std::exit(usable_cores() == 1 ? 0 : 1);  // NOLINT(concurrency-mt-unsafe)
      },
      testing::ExitedWithCode(0), "");
}

TEST(UsableCores, CountsThoseOfTheProcessOnAPinnedThread) {
  const std::size_t before = usable_cores();
  std::size_t seen = 0;
  std::thread([&] {
    keep_on_one_core();
    seen = usable_cores();
  }).join();
  EXPECT_EQ(seen, before);
}

}  // namespace
}  // namespace knap
