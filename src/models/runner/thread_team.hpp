#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

namespace knap::models::runner {

/// Threads that do one short task together, over and over.
///
/// Between tasks that follow each other closely they look for the next one (some 20 us), then they
/// sleep: a thread that spins would take a core from whoever computes next.
///
/// Threads: run() by one at a time.
class ThreadTeam {
 public:
  ThreadTeam() = default;
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  /// Runs `task` on `threads` threads, the caller's among them, and returns when all have ended.
  /// Threads are started when they are first needed, at most kThreadsMax; with fewer than asked
  /// for the task is run by fewer.
  /// @param task  must not throw, and must share its work out by itself
  void run(std::size_t threads, const std::function<void()>& task);

  static constexpr std::size_t kThreadsMax = 256;

 private:
  void help(std::size_t number, unsigned seen);

  std::vector<std::thread> helpers_;
  std::atomic<unsigned> turn_ = 0;  ///< Counts tasks; helpers wait for it to change.
  std::atomic<std::size_t> wanted_ = 0, left_ = 0;
  std::atomic<bool> stopping_ = false;
  const std::function<void()>* task_ = nullptr;
};

}  // namespace knap::models::runner
