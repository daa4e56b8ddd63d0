#include "knap/observe/metrics.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include <fmt/format.h>

#include "knap/base/assert.hpp"

namespace knap::observe {
namespace {

constexpr std::size_t kSeriesMax = 2'000;
constexpr std::array kBucketEdges = {.001, .0025, .005, .01, .025, .05, .1, .25,
                                     .5,   1.,    2.,   5.,  10.,  30., 60.};

std::string escape_label(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    out += c;
  }
  return out;
}

std::string escape_help(std::string_view help) {
  std::string out;
  for (const char c : help) {
    if (c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    out += c;
  }
  return out;
}

/// {a="x",b="y"} with `extra` (already formatted) appended; empty without labels.
std::string format_labels(const Labels& labels, std::string_view extra = {}) {
  if (labels.empty() && extra.empty()) return {};
  std::string out = "{";
  for (const auto& [name, value] : labels) {
    if (out.size() > 1) out += ',';
    out += fmt::format("{}=\"{}\"", name, escape_label(value));
  }
  if (!extra.empty()) {
    if (out.size() > 1) out += ',';
    out += extra;
  }
  return out + "}";
}

}  // namespace

// Value v (µs) below 2^kSubBits has a bucket of its own; above, the top kSubBits+1 bits choose it.
namespace {
constexpr std::size_t bucket_of(std::uint64_t us, int sub_bits, std::size_t buckets) {
  if (us < (1ULL << sub_bits)) return us;
  const int exponent = 63 - std::countl_zero(us) - sub_bits;
  const std::size_t index = (static_cast<std::size_t>(exponent + 1) << sub_bits) +
                            ((us >> exponent) - (1ULL << sub_bits));
  return std::min(index, buckets - 1);
}

/// Largest value of a bucket, µs.
constexpr std::uint64_t upper_edge(std::size_t bucket, int sub_bits) {
  const std::size_t octave = bucket >> sub_bits;
  if (octave == 0) return bucket;
  const std::uint64_t base = (bucket & ((1ULL << sub_bits) - 1)) + (1ULL << sub_bits);
  return ((base + 1) << (octave - 1)) - 1;
}
}  // namespace

void Histogram::record(std::chrono::nanoseconds duration) {
  const auto us = static_cast<std::uint64_t>(std::max<std::int64_t>(0, duration.count()) / 1000);
  buckets_[bucket_of(us, kSubBits, kBuckets)].fetch_add(1, std::memory_order_relaxed);
  sum_us_.fetch_add(us, std::memory_order_relaxed);
}

std::uint64_t Histogram::count() const {
  std::uint64_t total = 0;
  for (const auto& bucket : buckets_) total += bucket.load(std::memory_order_relaxed);
  return total;
}

double Histogram::sum_seconds() const {
  return static_cast<double>(sum_us_.load(std::memory_order_relaxed)) * 1e-6;
}

double Histogram::quantile_seconds(double q) const {
  const std::uint64_t total = count();
  if (total == 0) return 0;
  const auto wanted = std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(total))));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    seen += buckets_[i].load(std::memory_order_relaxed);
    if (seen >= wanted) return static_cast<double>(upper_edge(i, kSubBits)) * 1e-6;
  }
  return static_cast<double>(upper_edge(kBuckets - 1, kSubBits)) * 1e-6;
}

std::uint64_t Histogram::count_at_most(double seconds) const {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    if (static_cast<double>(upper_edge(i, kSubBits)) * 1e-6 > seconds) break;
    total += buckets_[i].load(std::memory_order_relaxed);
  }
  return total;
}

struct Registry::Impl {
  template <typename T>
  struct Family {
    std::string help;
    std::map<Labels, std::unique_ptr<T>> series;
  };
  mutable Mutex mutex;
  std::map<std::string, Family<Counter>, std::less<>> counters KNAP_GUARDED_BY(mutex);
  std::map<std::string, Family<Gauge>, std::less<>> gauges KNAP_GUARDED_BY(mutex);
  std::map<std::string, Family<Histogram>, std::less<>> histograms KNAP_GUARDED_BY(mutex);
  std::size_t count KNAP_GUARDED_BY(mutex) = 0;
  Counter overflow_counter, overflow;
  Gauge overflow_gauge;
  Histogram overflow_histogram;

  template <typename T>
  T& find(std::map<std::string, Family<T>, std::less<>>& families, T& spare, std::string_view name,
          std::string_view help, const Labels& labels) KNAP_REQUIRES(mutex) {
    auto family = families.find(name);
    if (family == families.end())
      family = families.emplace(std::string(name), Family<T>{std::string(help), {}}).first;
    auto& slot = family->second.series[labels];
    if (!slot) {
      if (count >= kSeriesMax) {
        family->second.series.erase(labels);
        overflow.add();
        return spare;
      }
      ++count;
      slot = std::make_unique<T>();
    }
    return *slot;
  }
};

Registry::Registry() : impl_(std::make_unique<Impl>()) {}
Registry::~Registry() = default;

Counter& Registry::counter(std::string_view name, std::string_view help, const Labels& labels) {
  const MutexLock lock(impl_->mutex);
  return impl_->find(impl_->counters, impl_->overflow_counter, name, help, labels);
}

Gauge& Registry::gauge(std::string_view name, std::string_view help, const Labels& labels) {
  const MutexLock lock(impl_->mutex);
  return impl_->find(impl_->gauges, impl_->overflow_gauge, name, help, labels);
}

Histogram& Registry::histogram(std::string_view name, std::string_view help, const Labels& labels) {
  const MutexLock lock(impl_->mutex);
  return impl_->find(impl_->histograms, impl_->overflow_histogram, name, help, labels);
}

std::string Registry::prometheus() const {
  const MutexLock lock(impl_->mutex);
  std::string out;
  const auto head = [&out](std::string_view name, std::string_view help, std::string_view type) {
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, escape_help(help), name, type);
  };
  for (const auto& [name, family] : impl_->counters) {
    head(name, family.help, "counter");
    for (const auto& [labels, series] : family.series)
      out += fmt::format("{}{} {}\n", name, format_labels(labels), series->value());
  }
  for (const auto& [name, family] : impl_->gauges) {
    head(name, family.help, "gauge");
    for (const auto& [labels, series] : family.series)
      out += fmt::format("{}{} {}\n", name, format_labels(labels), series->value());
  }
  for (const auto& [name, family] : impl_->histograms) {
    head(name, family.help, "histogram");
    for (const auto& [labels, series] : family.series) {
      for (const double edge : kBucketEdges) {
        out += fmt::format("{}_bucket{} {}\n", name,
                           format_labels(labels, fmt::format("le=\"{}\"", edge)),
                           series->count_at_most(edge));
      }
      const std::uint64_t count = series->count();
      out += fmt::format("{}_bucket{} {}\n", name, format_labels(labels, "le=\"+Inf\""), count);
      out += fmt::format("{}_sum{} {}\n", name, format_labels(labels), series->sum_seconds());
      out += fmt::format("{}_count{} {}\n", name, format_labels(labels), count);
    }
  }
  if (const auto lost = impl_->overflow.value()) {
    head("knap_metrics_overflow_total", "Series refused because of the limit", "counter");
    out += fmt::format("knap_metrics_overflow_total {}\n", lost);
  }
  return out;
}

std::vector<Registry::SeriesValue> Registry::values() const {
  const MutexLock lock(impl_->mutex);
  std::vector<SeriesValue> out;
  for (const auto& [name, family] : impl_->counters)
    for (const auto& [labels, series] : family.series)
      out.push_back(
          {name, labels, SeriesValue::Kind::kCounter, static_cast<double>(series->value())});
  for (const auto& [name, family] : impl_->gauges)
    for (const auto& [labels, series] : family.series)
      out.push_back({name, labels, SeriesValue::Kind::kGauge, series->value()});
  for (const auto& [name, family] : impl_->histograms)
    for (const auto& [labels, series] : family.series)
      out.push_back({name, labels, SeriesValue::Kind::kHistogram,
                     static_cast<double>(series->count()), series->quantile_seconds(.5),
                     series->quantile_seconds(.95), series->quantile_seconds(.99),
                     series->sum_seconds()});
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return std::tie(a.name, a.labels) < std::tie(b.name, b.labels);
  });
  return out;
}

}  // namespace knap::observe
