#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace knap::observe {

/// Where the kernel shows what it knows; tests give folders of their own.
struct SystemRoots {
  std::filesystem::path proc = "/proc";
  std::filesystem::path cgroup = "/sys/fs/cgroup";
};

/// What one process takes.
struct ProcessUse {
  std::uint64_t resident_bytes = 0, virtual_bytes = 0;
  double cpu_seconds = 0;  ///< User and system, since its start.
  std::uint64_t threads = 0;
  std::uint64_t open_files = 0;  ///< 0 where that may not be read.
  std::uint64_t open_files_max = 0;
  std::uint64_t read_bytes = 0, written_bytes = 0;  ///< From and to disks; 0 where not counted.
  double start_unix_s = 0;
};
/// @param pid  "self", or a number. Nothing when there is no such process.
std::optional<ProcessUse> read_process(const SystemRoots& roots, const std::string& pid);

/// A child process of this one.
struct ChildUse {
  std::string role;   ///< "runner" or "helper".
  std::string model;  ///< Of a runner; else empty.
  ProcessUse use;
};
/// At most 64 children. Finds them through /proc/self/task/*/children; none where the kernel does
/// not offer that.
std::vector<ChildUse> read_children(const SystemRoots& roots);

/// The limits that a container sets, and what is used of them: the tightest of this process's group
/// and the groups above it.
struct CgroupState {
  int version = 0;  ///< 1, 2; 0: no groups, then nothing below is set.
  std::optional<std::uint64_t> memory_limit_bytes;  ///< Where the kernel would kill.
  /// Without file pages that can be dropped at any time, as Kubernetes counts too.
  std::uint64_t memory_used_bytes = 0;
  std::optional<double> cpu_limit;  ///< In cores, e.g. 1.5.
  double cpu_seconds = 0;           ///< Of all processes in the group.
  double throttled_seconds = 0;     ///< Held back because the limit was reached.
};
CgroupState read_cgroup(const SystemRoots& roots);

/// Of the machine.
struct MachineMemory {
  std::uint64_t total_bytes = 0, available_bytes = 0;
};
MachineMemory read_memory(const SystemRoots& roots);

}  // namespace knap::observe
