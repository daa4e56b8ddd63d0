#include "knap/ops/health.hpp"

#include <atomic>
#include <thread>

#include <gtest/gtest.h>

namespace knap::ops {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

HealthCheck check(std::string name, std::function<Result<std::string>(Deadline)> run) {
  HealthCheck out;
  out.name = std::move(name);
  out.interval = milliseconds(1);
  out.run = std::move(run);
  return out;
}

Result<std::string> fail() { return make_error(ErrorCode::kIo, "the disk is full"); }

TEST(HealthMonitor, CountsFailuresInARowAndForgetsThem) {
  observe::Registry metrics;
  std::atomic<bool> broken = true;
  HealthMonitor monitor({check("store",
                               [&](Deadline) -> Result<std::string> {
                                 if (broken) return fail();
                                 return std::string("written");
                               })},
                        metrics);
  EXPECT_EQ(monitor.states()[0].state, CheckState::State::kUnknown);
  monitor.start();
  while (monitor.states()[0].failures_in_row < 3) std::this_thread::yield();
  EXPECT_EQ(monitor.states()[0].state, CheckState::State::kFailing);
  EXPECT_EQ(monitor.states()[0].message, "the disk is full");
  EXPECT_EQ(metrics.sum("knap_health_up", {{"check", "store"}}), 0);
  broken = false;
  while (monitor.states()[0].state != CheckState::State::kOk) std::this_thread::yield();
  EXPECT_EQ(monitor.states()[0].failures_in_row, 0U);
  EXPECT_EQ(monitor.states()[0].message, "written");
}

TEST(HealthMonitor, IsReadyByItsNeededChecksOnly) {
  observe::Registry metrics;
  auto needed = check("search", [](Deadline) -> Result<std::string> { return std::string(); });
  needed.needed = true;
  HealthMonitor monitor({needed, check("generation", [](Deadline) { return fail(); })}, metrics);
  monitor.start();
  EXPECT_TRUE(monitor.ready(milliseconds(10)));
}

TEST(HealthMonitor, TriesAgainBeforeItSaysNotReady) {
  observe::Registry metrics;
  std::atomic<int> calls = 0;
  auto needed = check("search", [&](Deadline) -> Result<std::string> {
    if (++calls < 2) return fail();
    return std::string();
  });
  needed.needed = true;
  needed.interval = hours(1);
  HealthMonitor monitor({needed}, metrics);
  EXPECT_FALSE(monitor.ready(milliseconds(10)));
  EXPECT_TRUE(monitor.ready(milliseconds(10)));
}

TEST(HealthMonitor, ACheckThatHangsHoldsUpNoOther) {
  observe::Registry metrics;
  std::atomic<bool> go = false;
  std::atomic<int> others = 0;
  {
    HealthMonitor monitor({check("hangs",
                                 [&](Deadline) -> Result<std::string> {
                                   while (!go) std::this_thread::yield();
                                   return std::string();
                                 }),
                           check("other",
                                 [&](Deadline) -> Result<std::string> {
                                   ++others;
                                   return std::string();
                                 })},
                          metrics);
    monitor.start();
    while (others < 3) std::this_thread::yield();
    EXPECT_EQ(monitor.states()[0].state, CheckState::State::kUnknown);
    go = true;
  }
}

}  // namespace
}  // namespace knap::ops
