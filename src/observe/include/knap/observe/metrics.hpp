#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knap/observe/histogram.hpp"

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

/// Raises a gauge for as long as it lives: how many are at something now. Threads: one at a time.
class Occupied {
 public:
  explicit Occupied(Gauge& gauge) : gauge_(&gauge) { gauge_->add(1); }
  ~Occupied() { leave(); }
  Occupied(const Occupied&) = delete;
  Occupied& operator=(const Occupied&) = delete;
  /// Now already; again it does nothing.
  void leave() {
    if (gauge_ != nullptr) std::exchange(gauge_, nullptr)->add(-1);
  }

 private:
  Gauge* gauge_;
};

/// All series of the program. Series live as long as the registry; ask once, keep the reference.
///
/// Threads: safe. Names follow Prometheus: knap_<room>_<what>_<unit>[_total]; a name that
/// Prometheus would refuse is a bug and ends the program. At most 4,000 series and 512 of one name:
/// one more of a name that is full goes to a series whose label values are all "other", one more of
/// all to a shared series that is not shown. Both count in knap_metrics_overflow_total.
class Registry {
 public:
  Registry();
  ~Registry();
  Counter& counter(std::string_view name, std::string_view help, const Labels& labels = {});
  Gauge& gauge(std::string_view name, std::string_view help, const Labels& labels = {});
  /// A counter of what something else counts, e.g. the kernel, in fractions too. The caller sees to
  /// it that it only grows.
  Gauge& total(std::string_view name, std::string_view help, const Labels& labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, const Labels& labels = {},
                       Scale scale = Scale::kDuration);

  /// Shows the series of `name` also as `common`, unless series of that name are kept themselves.
  void alias(std::string_view name, std::string_view common);

  /// Prometheus text format 0.0.4. Buckets of durations: .001 .0025 .005 .01 .025 .05 .1 .25 .5 1 2
  /// 5 10 30 60 s. A histogram that has recorded nothing yet is left out.
  std::string prometheus() const;

  struct SeriesValue {
    std::string name;
    Labels labels;
    enum class Kind { kCounter, kGauge, kHistogram } kind;
    double value = 0;                           ///< Counter, gauge; histogram: count.
    double p50 = 0, p95 = 0, p99 = 0, sum = 0;  ///< Seconds, histograms only.
  };
  std::vector<SeriesValue> values() const;  ///< Sorted by name and labels.

  /// The sum over all counters or gauges of a name whose labels hold `match`; nothing when there is
  /// no such series.
  std::optional<double> sum(std::string_view name, const Labels& match = {}) const;
  /// The histograms of a name whose labels hold `match`. They live as long as the registry.
  std::vector<const Histogram*> histograms(std::string_view name, const Labels& match = {}) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knap::observe
