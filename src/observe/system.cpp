#include "knap/observe/system.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string_view>

namespace knap::observe {
namespace {

namespace fs = std::filesystem;

/// Files of the kernel are short; a group's path has at most so many parts.
constexpr std::size_t kFileBytesMax = 64U << 10;
constexpr int kGroupDepthMax = 32;
constexpr std::size_t kChildrenMax = 64;
/// cgroup v1 writes "no limit" as a huge number.
constexpr std::uint64_t kNoLimit = 1ULL << 60;

std::string read_text(const fs::path& file) {
  std::string out;
  std::ifstream in(file, std::ios::binary);
  if (!in) return out;
  out.resize(kFileBytesMax);
  in.read(out.data(), static_cast<std::streamsize>(out.size()));
  out.resize(static_cast<std::size_t>(std::max<std::streamsize>(0, in.gcount())));
  return out;
}

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const auto end = std::min(text.find_first_of(separators), text.size());
    if (end > 0) out.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

std::optional<std::uint64_t> to_number(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> read_number(const fs::path& file) {
  return to_number(read_text(file));
}

/// The value of "name value" or "name: value kB" in a file of such lines.
std::uint64_t field_of(std::string_view text, std::string_view name) {
  for (std::string_view line : split(text, "\n")) {
    if (!line.starts_with(name)) continue;
    line.remove_prefix(name.size());
    const auto words = split(line, ": \t");
    if (words.empty() || (line.front() != ' ' && line.front() != ':' && line.front() != '\t'))
      continue;
    const std::uint64_t value = to_number(words[0]).value_or(0);
    return words.size() > 1 && words[1] == "kB" ? value * 1024 : value;
  }
  return 0;
}

double boot_unix_s(const SystemRoots& roots) {
  return static_cast<double>(field_of(read_text(roots.proc / "stat"), "btime"));
}

std::uint64_t count_entries(const fs::path& folder) {
  std::error_code error;
  std::uint64_t count = 0;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    ++count;
  return count;
}

std::uint64_t open_files_limit(std::string_view limits) {
  constexpr std::string_view kLine = "Max open files";
  const auto at = limits.find(kLine);
  if (at == std::string_view::npos) return 0;
  const auto words = split(limits.substr(at + kLine.size()), " \n");
  return words.empty() ? 0 : to_number(words[0]).value_or(0);
}

}  // namespace

std::optional<ProcessUse> read_process(const SystemRoots& roots, const std::string& pid) {
  const fs::path folder = roots.proc / pid;
  const std::string stat = read_text(folder / "stat");
  // The name, in parentheses, may hold anything.
  const auto name_end = stat.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  const auto fields = split(std::string_view(stat).substr(name_end + 1), " \n");
  // proc(5): after the name come state (3rd) and so on; utime is the 14th, starttime the 22nd.
  constexpr std::size_t kFirst = 3, kUser = 14, kSystem = 15, kThreads = 20, kStart = 22,
                        kVirtual = 23, kResident = 24;
  if (fields.size() <= kResident - kFirst) return std::nullopt;
  const auto field = [&](std::size_t number) {
    return to_number(fields[number - kFirst]).value_or(0);
  };
  const auto ticks = static_cast<double>(std::max(1L, ::sysconf(_SC_CLK_TCK)));
  ProcessUse use;
  use.resident_bytes =
      field(kResident) * static_cast<std::uint64_t>(std::max(1L, ::sysconf(_SC_PAGESIZE)));
  use.virtual_bytes = field(kVirtual);
  use.cpu_seconds = static_cast<double>(field(kUser) + field(kSystem)) / ticks;
  use.threads = field(kThreads);
  use.start_unix_s = boot_unix_s(roots) + static_cast<double>(field(kStart)) / ticks;
  use.open_files = count_entries(folder / "fd");
  use.open_files_max = open_files_limit(read_text(folder / "limits"));
  const std::string io = read_text(folder / "io");
  use.read_bytes = field_of(io, "read_bytes");
  use.written_bytes = field_of(io, "write_bytes");
  return use;
}

std::vector<ChildUse> read_children(const SystemRoots& roots) {
  std::vector<ChildUse> out;
  std::error_code error;
  const fs::path tasks = roots.proc / "self" / "task";
  for (fs::directory_iterator it(tasks, error), end; !error && it != end; it.increment(error)) {
    const std::string children = read_text(it->path() / "children");
    for (const std::string_view pid : split(children, " \n")) {
      if (out.size() >= kChildrenMax) return out;
      auto use = read_process(roots, std::string(pid));
      if (!use) continue;
      ChildUse child{"helper", "", *use};
      const std::string command = read_text(roots.proc / std::string(pid) / "cmdline");
      const auto words = split(command, std::string_view("\0", 1));
      if (words.size() > 1 && words[1] == "runner") {
        child.role = "runner";
        const auto at = std::ranges::find(words, "--model");
        if (at != words.end() && at + 1 != words.end()) child.model = *(at + 1);
      }
      out.push_back(std::move(child));
    }
  }
  return out;
}

namespace {

/// The folders of this process's group and those above it, innermost first. In a container the
/// group's own path is often hidden: then the root of what is mounted is ours.
std::vector<fs::path> group_folders(const fs::path& root, std::string_view path) {
  std::vector<fs::path> out;
  fs::path relative(path);
  relative = relative.relative_path();
  for (int depth = 0; depth < kGroupDepthMax && !relative.empty(); ++depth) {
    std::error_code error;
    if (fs::is_directory(root / relative, error)) out.push_back(root / relative);
    if (!relative.has_parent_path()) break;
    relative = relative.parent_path();
  }
  out.push_back(root);
  return out;
}

template <typename Number>
void tighten(std::optional<Number>& limit, std::optional<Number> other) {
  if (other && (!limit || *other < *limit)) limit = other;
}

CgroupState read_v2(const fs::path& root, std::string_view group) {
  CgroupState state;
  state.version = 2;
  const auto folders = group_folders(root, group);
  for (const fs::path& folder : folders) {
    tighten(state.memory_limit_bytes, read_number(folder / "memory.max"));
    const std::string cpu = read_text(folder / "cpu.max");
    const auto words = split(cpu, " \n");
    if (words.size() != 2) continue;
    const auto quota = to_number(words[0]), period = to_number(words[1]);
    if (quota && period && *period > 0) {
      tighten(state.cpu_limit,
              std::optional<double>(static_cast<double>(*quota) / static_cast<double>(*period)));
    }
  }
  // The innermost group that counts; the root of a whole machine does not.
  for (const fs::path& folder : folders) {
    const auto used = read_number(folder / "memory.current");
    if (!used) continue;
    const auto droppable = field_of(read_text(folder / "memory.stat"), "inactive_file");
    state.memory_used_bytes = *used - std::min(*used, droppable);
    const std::string cpu = read_text(folder / "cpu.stat");
    state.cpu_seconds = static_cast<double>(field_of(cpu, "usage_usec")) * 1e-6;
    state.throttled_seconds = static_cast<double>(field_of(cpu, "throttled_usec")) * 1e-6;
    break;
  }
  return state;
}

/// The group's path of a controller in /proc/self/cgroup: "4:memory:/docker/x", "0::/x" for v2.
std::optional<std::string> group_of(std::string_view text, std::string_view controller) {
  for (const std::string_view line : split(text, "\n")) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    const auto names = line.substr(first + 1, second - first - 1);
    const auto listed = split(names, ",");
    if (controller.empty() ? names.empty()
                           : std::ranges::find(listed, controller) != listed.end()) {
      return std::string(line.substr(second + 1));
    }
  }
  return std::nullopt;
}

CgroupState read_v1(const fs::path& root, std::string_view groups) {
  CgroupState state;
  state.version = 1;
  const auto memory = group_folders(root / "memory", group_of(groups, "memory").value_or("/"));
  for (const fs::path& folder : memory) {
    const auto limit = read_number(folder / "memory.limit_in_bytes");
    if (limit && *limit < kNoLimit) tighten(state.memory_limit_bytes, limit);
  }
  const auto used = read_number(memory.front() / "memory.usage_in_bytes").value_or(0);
  const auto droppable = field_of(read_text(memory.front() / "memory.stat"), "total_inactive_file");
  state.memory_used_bytes = used - std::min(used, droppable);
  const auto cpu = group_folders(root / "cpu", group_of(groups, "cpu").value_or("/"));
  for (const fs::path& folder : cpu) {
    const auto quota = read_number(folder / "cpu.cfs_quota_us");  // -1: none
    const auto period = read_number(folder / "cpu.cfs_period_us");
    if (quota && period && *period > 0) {
      tighten(state.cpu_limit,
              std::optional<double>(static_cast<double>(*quota) / static_cast<double>(*period)));
    }
  }
  state.throttled_seconds =
      static_cast<double>(field_of(read_text(cpu.front() / "cpu.stat"), "throttled_time")) * 1e-9;
  const auto account = group_folders(root / "cpuacct", group_of(groups, "cpuacct").value_or("/"));
  state.cpu_seconds =
      static_cast<double>(read_number(account.front() / "cpuacct.usage").value_or(0)) * 1e-9;
  return state;
}

}  // namespace

CgroupState read_cgroup(const SystemRoots& roots) {
  std::error_code error;
  const std::string groups = read_text(roots.proc / "self" / "cgroup");
  if (fs::exists(roots.cgroup / "cgroup.controllers", error))
    return read_v2(roots.cgroup, group_of(groups, "").value_or("/"));
  if (fs::exists(roots.cgroup / "memory", error) || fs::exists(roots.cgroup / "cpu", error))
    return read_v1(roots.cgroup, groups);
  return {};
}

MachineMemory read_memory(const SystemRoots& roots) {
  const std::string text = read_text(roots.proc / "meminfo");
  return {field_of(text, "MemTotal"), field_of(text, "MemAvailable")};
}

}  // namespace knap::observe
