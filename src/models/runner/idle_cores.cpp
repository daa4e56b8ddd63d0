#include "runner/idle_cores.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>
#include <thread>

namespace knap::models::runner {

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
  std::string line;
  std::ifstream file("/proc/loadavg");
  std::getline(file, line);
  return threads_for_load(wanted, std::max(1U, std::thread::hardware_concurrency()), line);
}

}  // namespace knap::models::runner
