#pragma once

#include <condition_variable>
#include <mutex>

#include "knap/base/deadline.hpp"

// Clang's thread-safety annotations; nothing elsewhere.
#if defined(__clang__)
#define KNAP_ANNOTATE(x) __attribute__((x))
#else
#define KNAP_ANNOTATE(x)
#endif
#define KNAP_CAPABILITY(x) KNAP_ANNOTATE(capability(x))
#define KNAP_SCOPED_CAPABILITY KNAP_ANNOTATE(scoped_lockable)
#define KNAP_GUARDED_BY(x) KNAP_ANNOTATE(guarded_by(x))
#define KNAP_PT_GUARDED_BY(x) KNAP_ANNOTATE(pt_guarded_by(x))
#define KNAP_REQUIRES(...) KNAP_ANNOTATE(requires_capability(__VA_ARGS__))
#define KNAP_EXCLUDES(...) KNAP_ANNOTATE(locks_excluded(__VA_ARGS__))
#define KNAP_ACQUIRE(...) KNAP_ANNOTATE(acquire_capability(__VA_ARGS__))
#define KNAP_RELEASE(...) KNAP_ANNOTATE(release_capability(__VA_ARGS__))
#define KNAP_ASSERT_HELD(...) KNAP_ANNOTATE(assert_capability(__VA_ARGS__))
#define KNAP_NO_THREAD_SAFETY_ANALYSIS KNAP_ANNOTATE(no_thread_safety_analysis)

namespace knap {

/// std::mutex with annotations that clang checks.
class KNAP_CAPABILITY("mutex") Mutex {
 public:
  void lock() KNAP_ACQUIRE() { mutex_.lock(); }
  void unlock() KNAP_RELEASE() { mutex_.unlock(); }
  /// Tells clang's analysis that the lock is held where it cannot see so: in a lambda that the
  /// holder calls. Checks nothing at run time.
  void assert_held() KNAP_ASSERT_HELD() {}
  std::mutex& native() { return mutex_; }

 private:
  std::mutex mutex_;
};

/// Holds a Mutex for a scope.
class KNAP_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) KNAP_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() KNAP_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

/// A condition of state guarded by a Mutex. Waits may wake without reason: loop on the state.
class CondVar {
 public:
  void wait(Mutex& mutex) KNAP_REQUIRES(mutex) {
    std::unique_lock lock(mutex.native(), std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  /// False when the deadline passed.
  bool wait_until(Mutex& mutex, Deadline deadline) KNAP_REQUIRES(mutex) {
    if (deadline.is_never()) {
      wait(mutex);
      return true;
    }
    std::unique_lock lock(mutex.native(), std::adopt_lock);
    const bool woken = condition_.wait_until(lock, deadline.point()) == std::cv_status::no_timeout;
    lock.release();
    return woken;
  }
  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace knap
