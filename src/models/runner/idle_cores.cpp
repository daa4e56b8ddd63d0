#include "runner/idle_cores.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "knap/base/cores.hpp"

namespace knap::models::runner {
namespace {

/// A thread that runs for a moment (the client that has just sent the clip) looks like one that
/// computes: a busy core is busy at every look.
constexpr int kLooks = 5;
constexpr std::chrono::milliseconds kBetweenLooks{1};

}  // namespace

std::size_t threads_for_load(std::size_t wanted, std::size_t cores, std::string_view loadavg) {
  std::size_t at = 0;
  for (int field = 0; field < 3; ++field) {
    at = loadavg.find(' ', at);
    if (at == std::string_view::npos) return std::max<std::size_t>(1, wanted);
    ++at;
  }
  std::size_t running = 0;
  const auto parsed =
      std::from_chars(loadavg.data() + at, loadavg.data() + loadavg.size(), running);
  if (parsed.ec != std::errc()) return std::max<std::size_t>(1, wanted);
  const std::size_t others = running > 0 ? running - 1 : 0;
  const std::size_t idle = cores > others ? cores - others : 0;
  return std::clamp<std::size_t>(idle, 1, std::max<std::size_t>(1, wanted));
}

std::size_t threads_for_idle_cores(std::size_t wanted) {
  const std::size_t cores = usable_cores();
  std::size_t most = 1;
  for (int look = 0; look < kLooks && most < wanted; ++look) {
    if (look > 0) std::this_thread::sleep_for(kBetweenLooks);
    std::string line;
    std::ifstream file("/proc/loadavg");
    std::getline(file, line);
    most = std::max(most, threads_for_load(wanted, cores, line));
  }
  return most;
}

}  // namespace knap::models::runner
