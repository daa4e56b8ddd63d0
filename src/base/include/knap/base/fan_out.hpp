#pragma once

#include <cstddef>
#include <functional>

#include "knap/base/thread_pool.hpp"

namespace knap {

/// Who may help with a piece of work that can be divided. Default: nobody.
struct Helpers {
  ThreadPool* pool = nullptr;  ///< Must outlive the work.
  std::size_t threads = 0;     ///< Of the pool, at most.
};

/// Runs part(0) to part(count - 1), each once, in any order; returns when all are done.
///
/// The caller works too, and takes what no helper has begun: helpers that are busy elsewhere never
/// make it wait, and a full pool only makes it slower. Threads: part() is called from several at
/// once and must not throw.
void fan_out(const Helpers& helpers, std::size_t count,
             const std::function<void(std::size_t)>& part);

}  // namespace knap
