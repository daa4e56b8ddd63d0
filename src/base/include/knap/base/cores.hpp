#pragma once

#include <cstddef>

namespace knap {

/// Cores that this process may run on, at least 1: those of the machine less what `taskset` or a
/// container's cpuset keeps from it. A thread that was pinned sees all of them too. A container's
/// share of time (1.5 cores) is another limit: observe::read_cgroup. Threads: safe.
std::size_t usable_cores();

}  // namespace knap
