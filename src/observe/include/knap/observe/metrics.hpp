#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/mutex.hpp"

namespace knap::observe {

/// Label names and values of one series. Values come from small closed sets of ours, never from
/// users.
using Labels = std::vector<std::pair<std::string, std::string>>;

/// Only grows. Safe from any thread.
class Counter {
 public:
  void add(std::uint64_t amount = 1) { value_.fetch_add(amount, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_ = 0;
};

/// Goes up and down. Safe from any thread.
class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void add(double amount) { value_.fetch_add(amount, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_ = 0;
};

/// Log-linear histogram of durations (HdrHistogram's idea): 1 µs to about 1 hour with at most 3 %
/// error. Recording is wait-free; reading sees a state at most a few records apart. Safe from any
/// thread.
class Histogram {
 public:
  void record(std::chrono::nanoseconds duration);
  std::uint64_t count() const;
  double sum_seconds() const;
  /// @param q  0-1. The upper edge of the bucket that holds the quantile, in seconds; 0 when empty.
  double quantile_seconds(double q) const;
  /// How many records are at most `seconds`.
  std::uint64_t count_at_most(double seconds) const;

 private:
  static constexpr int kSubBits = 5;  // 32 buckets an octave: 1/32 = 3 %
  static constexpr int kOctaves = 32;
  static constexpr std::size_t kBuckets = (kOctaves + 1) << kSubBits;
  std::array<std::atomic<std::uint64_t>, kBuckets> buckets_{};
  std::atomic<std::uint64_t> sum_us_ = 0;
};

/// All series of the program. Series live as long as the registry; ask once, keep the reference.
///
/// Threads: safe. Names follow Prometheus: knap_<room>_<what>_<unit>[_total].
/// At most 2,000 series: one more returns a shared overflow series (and counts in
/// knap_metrics_overflow_total).
class Registry {
 public:
  Registry();
  ~Registry();
  Counter& counter(std::string_view name, std::string_view help, const Labels& labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, const Labels& labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, const Labels& labels = {});

  /// Prometheus text format 0.0.4. Histogram buckets: .001 .0025 .005 .01 .025 .05 .1 .25 .5 1 2 5
  /// 10 30 60 s.
  std::string prometheus() const;

  struct SeriesValue {
    std::string name;
    Labels labels;
    enum class Kind { kCounter, kGauge, kHistogram } kind;
    double value = 0;                           ///< Counter, gauge; histogram: count.
    double p50 = 0, p95 = 0, p99 = 0, sum = 0;  ///< Seconds, histograms only.
  };
  std::vector<SeriesValue> values() const;  ///< Sorted by name and labels.

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knap::observe
