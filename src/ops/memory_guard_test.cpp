#include "knap/ops/memory_guard.hpp"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace knap::ops {
namespace {

namespace fs = std::filesystem;
using Pressure = MemoryGuard::Pressure;

TEST(MemoryGuard, FollowsTheContainersUse) {
  std::string name = (fs::temp_directory_path() / "knap-guard-XXXXXX").string();
  ASSERT_NE(::mkdtemp(name.data()), nullptr);
  const fs::path folder = name;
  fs::create_directories(folder / "cgroup");
  fs::create_directories(folder / "proc/self");
  std::ofstream(folder / "cgroup/cgroup.controllers") << "memory\n";
  std::ofstream(folder / "proc/self/cgroup") << "0::/\n";
  const auto use = [&](int bytes) {
    std::ofstream(folder / "cgroup/memory.current") << bytes << "\n";
  };
  observe::Registry metrics;
  std::vector<Pressure> relieved;
  MemoryGuard::Options options;
  options.limit_bytes = 1'000;
  options.of_container = true;
  options.roots = {folder / "proc", folder / "cgroup"};
  options.relieve = [&](Pressure pressure) { relieved.push_back(pressure); };
  MemoryGuard guard(options, metrics);
  use(700);
  guard.look();
  EXPECT_EQ(guard.pressure(), Pressure::kNone);
  use(810);
  guard.look();
  EXPECT_EQ(guard.pressure(), Pressure::kSoft);
  EXPECT_THAT(relieved, testing::ElementsAre(Pressure::kSoft));
  use(960);
  guard.look();
  EXPECT_EQ(guard.pressure(), Pressure::kHard);
  EXPECT_EQ(metrics.sum("knap_memory_pressure"), 2);
  EXPECT_EQ(relieved.size(), 1U) << "once a second is enough";
  use(100);
  guard.look();
  EXPECT_EQ(guard.pressure(), Pressure::kNone);
  fs::remove_all(folder);
}

TEST(MemoryGuard, AddsUpTheProcessesWithoutAContainer) {
  observe::Registry metrics;
  MemoryGuard::Options options;
  options.limit_bytes = 1;
  MemoryGuard guard(options, metrics);
  guard.look();
  EXPECT_EQ(guard.pressure(), Pressure::kHard);
}

TEST(MemoryGuard, WatchesNothingWithoutALimit) {
  observe::Registry metrics;
  MemoryGuard guard({}, metrics);
  guard.start();
  guard.look();
  EXPECT_EQ(guard.pressure(), Pressure::kNone);
}

}  // namespace
}  // namespace knap::ops
