#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string_view>
#include <thread>

#include "knap/base/mutex.hpp"
#include "knap/observe/metrics.hpp"
#include "knap/observe/system.hpp"

namespace knap::ops {

/// Watches what the server and its runners take, and acts before the kernel would: from the soft
/// share of the limit on, caches are to shrink; from the hard one on, new work is to be refused.
///
/// Threads: safe; one of its own looks four times a second. Destruction stops it.
class MemoryGuard {
 public:
  enum class Pressure { kNone, kSoft, kHard };
  struct Options {
    std::uint64_t limit_bytes = 0;  ///< 0: there is none, nothing is watched.
    /// Of the container: counted as the container counts, else the processes are added up.
    bool of_container = false;
    double soft = .8, hard = .95;
    observe::SystemRoots roots;
    /// Called again and again while there is pressure, at most once a second.
    std::function<void(Pressure)> relieve;
  };
  MemoryGuard(Options options, observe::Registry& metrics);
  ~MemoryGuard();
  MemoryGuard(const MemoryGuard&) = delete;
  MemoryGuard& operator=(const MemoryGuard&) = delete;

  void start();
  /// One look, as the thread does it.
  void look();
  Pressure pressure() const { return pressure_.load(std::memory_order_relaxed); }

 private:
  std::uint64_t used() const;
  void run() KNAP_EXCLUDES(mutex_);

  const Options options_;
  observe::Gauge& gauge_;
  std::atomic<Pressure> pressure_ = Pressure::kNone;
  SteadyClock::time_point relieved_{};
  Mutex mutex_;
  CondVar wake_;
  bool stopping_ KNAP_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

std::string_view to_string(MemoryGuard::Pressure pressure);

}  // namespace knap::ops
