#include "runner/steps.hpp"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "knap/base/mutex.hpp"

namespace knap::models::runner {
namespace {

/// After this much waiting, less than this share of it computed: others leave nothing.
constexpr std::chrono::seconds kLook{1};
constexpr double kStarvedShare = 0.1;
/// Then it is tried again whether they do.
constexpr std::chrono::seconds kInsist{30};

using Nanoseconds = std::chrono::nanoseconds;

Nanoseconds computed_by(clockid_t thread) {
  std::timespec time{};
  if (::clock_gettime(thread, &time) != 0) return {};
  return std::chrono::seconds(time.tv_sec) + Nanoseconds(time.tv_nsec);
}

class Work {
 public:
  Work(std::size_t count, const std::function<Status(std::size_t)>& step)
      : count_(count), step_(step) {}

  void run() {
    note_thread();
    Status outcome;
    for (std::size_t i = next_++; i < count_ && outcome; i = next_++) outcome = step_(i);
    if (!outcome) next_ = count_;
    const MutexLock lock(mutex_);
    ++finished_;
    if (!outcome && status_) status_ = std::move(outcome);
    done_.notify_all();
  }

  /// Until so many have run; false when it was too late before.
  bool wait(std::size_t helpers, Deadline deadline) {
    const MutexLock lock(mutex_);
    while (finished_ < helpers) {
      if (!done_.wait_until(mutex_, deadline) && finished_ < helpers) return false;
    }
    return true;
  }

  Status status() const {
    const MutexLock lock(mutex_);
    return status_;
  }

  /// By the threads that have run or are running it, all of which are still there; nothing before
  /// the first has begun.
  std::optional<Nanoseconds> computed() const {
    const MutexLock lock(mutex_);
    if (threads_.empty()) return std::nullopt;
    Nanoseconds total{};
    for (const Thread& thread : threads_) total += computed_by(thread.clock) - thread.before;
    return total;
  }

 private:
  struct Thread {
    clockid_t clock;
    Nanoseconds before;
  };

  void note_thread() {
    Thread thread{};
    if (::pthread_getcpuclockid(::pthread_self(), &thread.clock) != 0) return;
    thread.before = computed_by(thread.clock);
    const MutexLock lock(mutex_);
    threads_.push_back(thread);
  }

  const std::size_t count_;
  const std::function<Status(std::size_t)>& step_;
  std::atomic<std::size_t> next_ = 0;

  mutable Mutex mutex_;
  CondVar done_;
  std::size_t finished_ KNAP_GUARDED_BY(mutex_) = 0;
  Status status_ KNAP_GUARDED_BY(mutex_);
  std::vector<Thread> threads_ KNAP_GUARDED_BY(mutex_);
};

void take_little() {
  thread_local const bool kSet = [] {
    constexpr int kBackgroundNice = 10;
    return ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kBackgroundNice) == 0;
  }();
  static_cast<void>(kSet);
}

/// Once for a thread: without privileges there is no way back.
void take_what_is_left() {
  thread_local const bool kSet = [] {
    const sched_param none{};
    return ::pthread_setschedparam(::pthread_self(), SCHED_IDLE, &none) == 0;
  }();
  if (!kSet) take_little();
}

void take_a_share() {}

std::size_t help(ThreadPool& pool, std::size_t threads, const std::shared_ptr<Work>& work,
                 void (*prepare)()) {
  std::size_t helpers = 0;
  for (std::size_t i = 0; i < threads; ++i) {
    if (pool.submit([work, prepare] {
          prepare();
          work->run();
        }))
      ++helpers;
  }
  return helpers;
}

Error too_much() { return make_error(ErrorCode::kUnavailable, "too much work waits; try again"); }

}  // namespace

Status run_steps(ThreadPool& pool, std::size_t threads, std::size_t count,
                 const std::function<Status(std::size_t)>& step, Pace pace) {
  const auto work = std::make_shared<Work>(count, step);
  const auto prepare = pace == Pace::kLow ? take_little : take_a_share;
  const std::size_t helpers = help(pool, std::min(threads, count), work, prepare);
  if (helpers == 0 && count > 0) return too_much();
  static_cast<void>(work->wait(helpers, Deadline::never()));
  return work->status();
}

SpareThreads::SpareThreads(std::size_t threads, std::size_t queue_limit)
    : threads_(threads),
      spare_({.name = "spare", .threads = threads, .queue_limit = queue_limit}),
      insisting_({.name = "insisting", .threads = threads, .queue_limit = queue_limit}) {}

bool SpareThreads::insists() const { return SteadyClock::now() < insists_until_.load(); }

Status SpareThreads::run(std::size_t count, const std::function<Status(std::size_t)>& step) {
  const auto work = std::make_shared<Work>(count, step);
  const std::size_t wanted = std::min(threads_, count);
  bool insisting = insists();
  std::size_t helpers = insisting ? help(insisting_, wanted, work, take_little)
                                  : help(spare_, wanted, work, take_what_is_left);
  if (helpers == 0 && count > 0) return too_much();
  auto looked = SteadyClock::now();
  Nanoseconds computed{};
  while (!work->wait(helpers, insisting ? Deadline::never() : Deadline::after(kLook))) {
    const auto now = SteadyClock::now();
    const auto waited = std::chrono::duration<double>(now - std::exchange(looked, now));
    // Steps behind those of another caller starve when these do.
    if (const auto total = work->computed(); total && !insists()) {
      const Nanoseconds before = std::exchange(computed, *total);
      if (computed - before > kStarvedShare * waited) continue;
      insists_until_ = now + kInsist;
    }
    if (!insists()) continue;
    insisting = true;
    helpers += help(insisting_, wanted, work, take_little);
  }
  return work->status();
}

}  // namespace knap::models::runner
