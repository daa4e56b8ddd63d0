#include "knap/base/fan_out.hpp"

#include <algorithm>
#include <atomic>
#include <memory>

#include "knap/base/mutex.hpp"

namespace knap {
namespace {

/// Shared by caller and helpers: one that starts late finds nothing left and must not touch what
/// the caller has on its stack.
struct Work {
  Work(std::size_t parts, const std::function<void(std::size_t)>& do_part)
      : count(parts), part(&do_part) {}

  void help() {
    std::size_t finished = 0;
    for (;;) {
      const std::size_t mine = next.fetch_add(1, std::memory_order_relaxed);
      if (mine >= count) break;
      (*part)(mine);
      ++finished;
    }
    if (finished == 0) return;
    MutexLock lock(mutex);
    done += finished;
    if (done == count) all_done.notify_all();
  }
  void wait() {
    MutexLock lock(mutex);
    while (done < count) all_done.wait(mutex);
  }

  const std::size_t count;
  /// Used only for a part that is not done yet: the caller still waits then.
  const std::function<void(std::size_t)>* const part;
  std::atomic<std::size_t> next = 0;
  Mutex mutex;
  CondVar all_done;
  std::size_t done KNAP_GUARDED_BY(mutex) = 0;
};

}  // namespace

void fan_out(const Helpers& helpers, std::size_t count,
             const std::function<void(std::size_t)>& part) {
  const std::size_t wanted =
      helpers.pool == nullptr || count < 2 ? 0 : std::min(helpers.threads, count - 1);
  if (wanted == 0) {
    for (std::size_t i = 0; i < count; ++i) part(i);
    return;
  }
  const auto work = std::make_shared<Work>(count, part);
  for (std::size_t i = 0; i < wanted; ++i)
    if (!helpers.pool->submit([work] { work->help(); })) break;
  work->help();
  work->wait();
}

}  // namespace knap
