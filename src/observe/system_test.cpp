#include "knap/observe/system.hpp"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "knap/observe/sampler.hpp"

namespace knap::observe {
namespace {

namespace fs = std::filesystem;

/// A tree of files in place of the kernel's.
class SystemTest : public testing::Test {
 protected:
  SystemTest() {
    std::string name = (fs::temp_directory_path() / "knap-system-XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    roots_ = {folder_ / "proc", folder_ / "cgroup"};
  }
  ~SystemTest() override { fs::remove_all(folder_); }

  void write(const fs::path& file, const std::string& text) const {
    fs::create_directories((folder_ / file).parent_path());
    std::ofstream(folder_ / file) << text;
  }

  fs::path folder_;
  SystemRoots roots_;
};

TEST_F(SystemTest, ReadsTheRealProcess) {
  const auto use = read_process(SystemRoots{}, "self");
  ASSERT_TRUE(use);
  EXPECT_GT(use->resident_bytes, 1U << 20);
  EXPECT_GE(use->threads, 1U);
  EXPECT_GE(use->open_files, 3U);
  EXPECT_GT(use->open_files_max, use->open_files);
  EXPECT_GT(use->start_unix_s, 1.6e9);
  EXPECT_GT(read_memory(SystemRoots{}).total_bytes, read_memory(SystemRoots{}).available_bytes);
}

TEST_F(SystemTest, ReadsANameWithSpacesAndParentheses) {
  write("proc/7/stat",
        "7 (a b) c) S 1 7 7 0 -1 4194560 0 0 0 0 250 50 0 0 20 0 12 0 100 4096000 25 "
        "18446744073709551615 0\n");
  write("proc/stat", "cpu  1 2 3\nbtime 1700000000\n");
  const auto use = read_process(roots_, "7");
  ASSERT_TRUE(use);
  EXPECT_EQ(use->threads, 12U);
  EXPECT_DOUBLE_EQ(use->cpu_seconds, 300.0 / static_cast<double>(::sysconf(_SC_CLK_TCK)));
  EXPECT_EQ(use->virtual_bytes, 4'096'000U);
  EXPECT_FALSE(read_process(roots_, "8"));
}

TEST_F(SystemTest, FindsRunnersAmongTheChildren) {
  const std::string stat = " (x) S 1 7 7 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 100 4096 10 0 0\n";
  write("proc/self/task/1/children", "11 12 ");
  write("proc/11/stat", "11" + stat);
  write("proc/11/cmdline", std::string("knap\0runner\0--role\0embed\0--model\0mini\0", 39));
  write("proc/12/stat", "12" + stat);
  write("proc/12/cmdline", std::string("pdftotext\0-\0", 12));
  const auto children = read_children(roots_);
  ASSERT_EQ(children.size(), 2U);
  EXPECT_EQ(children[0].role, "runner");
  EXPECT_EQ(children[0].model, "mini");
  EXPECT_EQ(children[1].role, "helper");
}

TEST_F(SystemTest, TakesTheTightestLimitOfTheGroupsAboveInVersion2) {
  write("cgroup/cgroup.controllers", "cpu memory\n");
  write("proc/self/cgroup", "0::/pod/knap\n");
  write("cgroup/pod/memory.max", "1000000\n");
  write("cgroup/pod/cpu.max", "max 100000\n");
  write("cgroup/pod/knap/memory.max", "max\n");
  write("cgroup/pod/knap/cpu.max", "150000 100000\n");
  write("cgroup/pod/knap/memory.current", "700000\n");
  write("cgroup/pod/knap/memory.stat", "anon 1\ninactive_file 200000\n");
  write("cgroup/pod/knap/cpu.stat", "usage_usec 2500000\nthrottled_usec 500000\n");
  const CgroupState state = read_cgroup(roots_);
  EXPECT_EQ(state.version, 2);
  EXPECT_EQ(state.memory_limit_bytes, 1'000'000U);
  EXPECT_EQ(state.memory_used_bytes, 500'000U);
  EXPECT_EQ(state.cpu_limit, 1.5);
  EXPECT_DOUBLE_EQ(state.cpu_seconds, 2.5);
  EXPECT_DOUBLE_EQ(state.throttled_seconds, .5);
}

TEST_F(SystemTest, ReadsVersion1WhereTheGroupsPathIsHidden) {
  write("proc/self/cgroup", "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n");
  write("cgroup/memory/memory.limit_in_bytes", "2000000\n");
  write("cgroup/memory/memory.usage_in_bytes", "900000\n");
  write("cgroup/memory/memory.stat", "total_inactive_file 100000\n");
  write("cgroup/cpu/cpu.cfs_quota_us", "50000\n");
  write("cgroup/cpu/cpu.cfs_period_us", "100000\n");
  write("cgroup/cpuacct/cpuacct.usage", "1000000000\n");
  const CgroupState state = read_cgroup(roots_);
  EXPECT_EQ(state.version, 1);
  EXPECT_EQ(state.memory_limit_bytes, 2'000'000U);
  EXPECT_EQ(state.memory_used_bytes, 800'000U);
  EXPECT_EQ(state.cpu_limit, .5);
  EXPECT_DOUBLE_EQ(state.cpu_seconds, 1);
}

TEST_F(SystemTest, TakesNoLimitForNone) {
  write("proc/self/cgroup", "4:memory:/\n");
  write("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  write("cgroup/cpu/cpu.cfs_period_us", "100000\n");
  const CgroupState state = read_cgroup(roots_);
  EXPECT_EQ(state.memory_limit_bytes, std::nullopt);
  EXPECT_EQ(state.cpu_limit, std::nullopt);
  EXPECT_EQ(read_cgroup({folder_ / "none", folder_ / "none"}).version, 0);
}

TEST_F(SystemTest, SamplesOnceAtTheStart) {
  Registry registry;
  Sampler sampler(std::chrono::hours(1), registry);
  sampler.add(system_metrics(registry, SystemRoots{}, folder_));
  sampler.start();
  EXPECT_GT(registry.sum("process_resident_memory_bytes"), 1e6);
  EXPECT_GT(registry.sum("knap_disk_free_bytes"), 0);
  EXPECT_EQ(registry.histograms("knap_observe_sample_seconds").at(0)->count(), 1U);
}

}  // namespace
}  // namespace knap::observe
