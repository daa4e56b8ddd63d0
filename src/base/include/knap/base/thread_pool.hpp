#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "knap/base/mutex.hpp"

namespace knap {

/// A fixed set of threads taking tasks first in, first out from a bounded queue.
///
/// Threads: all methods are safe from any thread. Destruction runs what is queued, then joins.
/// Tasks must not throw; one that does is a bug and ends the program with its place.
class ThreadPool {
 public:
  struct Options {
    std::string name;                ///< Thread name shown by the system, at most 15 bytes.
    std::size_t threads = 1;         ///< At least 1.
    std::size_t queue_limit = 1024;  ///< Waiting tasks, at least 1.
  };
  explicit ThreadPool(Options options);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  /// Queues a task. Errors: kResourceExhausted (queue full), kUnavailable (stopping). Never blocks.
  Status submit(std::function<void()> task) KNAP_EXCLUDES(mutex_);
  std::size_t queued() const KNAP_EXCLUDES(mutex_);

 private:
  void run() KNAP_EXCLUDES(mutex_);

  const Options options_;
  mutable Mutex mutex_;
  CondVar wake_;
  std::deque<std::function<void()>> tasks_ KNAP_GUARDED_BY(mutex_);
  bool stopping_ KNAP_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace knap
