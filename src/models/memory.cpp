#include <sys/sysinfo.h>

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "knap/base/file.hpp"
#include "knap/models/models.hpp"

namespace knap::models {
namespace {

constexpr std::uint64_t kLimitTextMax = 64;

// What a container allows: cgroup 2, then 1. "max" and what cannot be read are no limit.
std::uint64_t container_limit() {
  for (const char* file :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    const auto text = read_file(file, kLimitTextMax);
    if (!text) continue;
    std::uint64_t bytes = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), bytes);
    if (error == std::errc() && bytes > 0) return bytes;
  }
  return UINT64_MAX;
}

}  // namespace

std::uint64_t usual_memory_bytes() {
  struct sysinfo info {};
  if (::sysinfo(&info) != 0) return 0;
  const std::uint64_t machine = std::uint64_t{info.totalram} * info.mem_unit;
  return std::min(machine, container_limit()) / 4 * 3;
}

}  // namespace knap::models
