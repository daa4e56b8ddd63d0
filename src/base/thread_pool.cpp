#include "knap/base/thread_pool.hpp"

#include <pthread.h>

#include "knap/base/assert.hpp"

namespace knap {

ThreadPool::ThreadPool(Options options) : options_(std::move(options)) {
  KNAP_ASSERT(options_.threads >= 1 && options_.queue_limit >= 1);
  threads_.reserve(options_.threads);
  for (std::size_t i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { run(); });
}

ThreadPool::~ThreadPool() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto& thread : threads_) thread.join();
}

Status ThreadPool::submit(std::function<void()> task) {
  {
    const MutexLock lock(mutex_);
    if (stopping_)
      return make_error(ErrorCode::kUnavailable, "the pool " + options_.name + " is stopping");
    if (tasks_.size() >= options_.queue_limit) {
      return make_error(ErrorCode::kResourceExhausted,
                        "the queue of the pool " + options_.name + " is full; try again later");
    }
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
  return {};
}

std::size_t ThreadPool::queued() const {
  const MutexLock lock(mutex_);
  return tasks_.size();
}

void ThreadPool::run() {
  ::pthread_setname_np(::pthread_self(), options_.name.substr(0, 15).c_str());
  while (true) {
    std::function<void()> task;
    {
      const MutexLock lock(mutex_);
      while (tasks_.empty() && !stopping_) wake_.wait(mutex_);
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace knap
