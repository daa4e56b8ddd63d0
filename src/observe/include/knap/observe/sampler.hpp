#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>
#include <vector>

#include "knap/base/mutex.hpp"
#include "knap/observe/metrics.hpp"
#include "knap/observe/system.hpp"

namespace knap::observe {

/// Brings gauges up to date on a thread of its own, so that no request pays for it: who reads
/// metrics reads what was sampled last.
///
/// Threads: safe. Destruction stops.
class Sampler {
 public:
  Sampler(std::chrono::milliseconds interval, Registry& metrics);
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  /// Before start(). Called every interval, one after another; must not wait for requests.
  void add(std::function<void()> refresh) { all_.push_back(std::move(refresh)); }
  /// Samples once, then goes on in the background.
  void start() KNAP_EXCLUDES(mutex_);
  void stop() KNAP_EXCLUDES(mutex_);

 private:
  void run() KNAP_EXCLUDES(mutex_);
  void sample();

  const std::chrono::milliseconds interval_;
  Histogram& seconds_;
  std::vector<std::function<void()>> all_;
  Mutex mutex_;
  CondVar wake_;
  bool stopping_ KNAP_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

/// Keeps the standard process_* series, those of the children, of the container and of the disk
/// that holds `data_dir` up to date. Returns the function for Sampler::add(). The registry must
/// outlive it.
std::function<void()> system_metrics(Registry& metrics, SystemRoots roots,
                                     std::filesystem::path data_dir);

}  // namespace knap::observe
