#include "runner/thread_team.hpp"

#include <pthread.h>

#include <algorithm>
#include <system_error>

namespace knap::models::runner {
namespace {

constexpr int kLooks = 2'000;

void pause_core() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadTeam::~ThreadTeam() {
  stopping_ = true;
  turn_.fetch_add(1, std::memory_order_acq_rel);
  turn_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void ThreadTeam::help(std::size_t number, unsigned seen) {
  ::pthread_setname_np(::pthread_self(), "knap-team");
  while (true) {
    for (int i = 0; i < kLooks && turn_.load(std::memory_order_acquire) == seen; ++i) pause_core();
    turn_.wait(seen, std::memory_order_acquire);
    if (stopping_.load()) return;
    seen = turn_.load(std::memory_order_acquire);
    if (number < wanted_.load(std::memory_order_relaxed)) (*task_)();
    left_.fetch_sub(1, std::memory_order_acq_rel);
  }
}

void ThreadTeam::run(std::size_t threads, const std::function<void()>& task) {
  const std::size_t wanted = std::clamp<std::size_t>(threads, 1, kThreadsMax) - 1;
  try {
    while (helpers_.size() < wanted) {
      // Its first task is this one, whenever it begins to look.
      helpers_.emplace_back(
          [this, number = helpers_.size(), seen = turn_.load()] { help(number, seen); });
    }
  } catch (const std::system_error&) {
    // The machine gives no more threads: fewer do the work.
  }
  if (wanted == 0 || helpers_.empty()) return task();
  task_ = &task;
  wanted_.store(wanted, std::memory_order_relaxed);
  left_.store(helpers_.size(), std::memory_order_relaxed);
  turn_.fetch_add(1, std::memory_order_acq_rel);
  turn_.notify_all();
  task();
  for (int i = 0; left_.load(std::memory_order_acquire) > 0; ++i) {
    i < kLooks ? pause_core() : std::this_thread::yield();
  }
}

}  // namespace knap::models::runner
