#pragma once

#include <cstddef>
#include <functional>

#include "knap/base/result.hpp"
#include "knap/base/thread_pool.hpp"

namespace knap::models::runner {

/// Lets a pool's threads, of which it has so many, compute only what others on the same cores
/// leave.
/// @pre nothing has been submitted to it yet
void give_way(ThreadPool& pool, std::size_t threads);

/// Runs step(0) to step(count - 1), each once, on as many of a pool's threads as are free, at most
/// `threads`; returns when all have ended. After a step that fails no other begins.
/// Errors: the first of a step; kUnavailable when the pool's queue is full.
/// @pre not called from a thread of the pool
Status run_steps(ThreadPool& pool, std::size_t threads, std::size_t count,
                 const std::function<Status(std::size_t)>& step);

}  // namespace knap::models::runner
