#include "knap/base/cores.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

namespace knap {

std::size_t usable_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  // Of the main thread, which nobody pins. More than 1,024 cores do not fit the set: then all
  // count.
  const bool known = ::sched_getaffinity(::getpid(), sizeof(allowed), &allowed) == 0;
  const auto count = known ? static_cast<std::size_t>(CPU_COUNT(&allowed)) : 0;
  return count > 0 ? count : std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace knap
