#include "runner/steps.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>

#include "knap/base/mutex.hpp"

namespace knap::models::runner {
namespace {

struct Work {
  std::size_t count;
  const std::function<Status(std::size_t)>& step;
  std::atomic<std::size_t> next = 0;

  Mutex mutex;
  CondVar done;
  std::size_t finished KNAP_GUARDED_BY(mutex) = 0;
  Status status KNAP_GUARDED_BY(mutex);

  void run() {
    Status outcome;
    for (std::size_t i = next++; i < count && outcome; i = next++) outcome = step(i);
    if (!outcome) next = count;
    const MutexLock lock(mutex);
    ++finished;
    if (!outcome && status) status = std::move(outcome);
    done.notify_all();
  }
};

}  // namespace

void give_way(ThreadPool& pool, std::size_t threads) {
  constexpr int kBackgroundNice = 10;
  for (std::size_t i = 0; i < threads; ++i) {
    static_cast<void>(pool.submit([] {
                            ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()),
                                          kBackgroundNice);
                          })
                          .has_value());
  }
}

Status run_steps(ThreadPool& pool, std::size_t threads, std::size_t count,
                 const std::function<Status(std::size_t)>& step) {
  const auto work = std::make_shared<Work>(count, step);
  std::size_t helpers = 0;
  for (std::size_t i = 0; i < std::min(threads, count); ++i)
    if (pool.submit([work] { work->run(); })) ++helpers;
  if (helpers == 0 && count > 0)
    return make_error(ErrorCode::kUnavailable, "too much work waits; try again");
  MutexLock lock(work->mutex);
  while (work->finished < helpers) work->done.wait(work->mutex);
  return work->status;
}

}  // namespace knap::models::runner
