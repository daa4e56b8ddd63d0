#include "knap/observe/histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace knap::observe {
namespace {

/// The limits of the five levels are among them: .1 .5 2 10 60.
constexpr std::array kDurationEdges = {.001, .0025, .005, .01, .025, .05, .1, .25,
                                       .5,   1.,    2.,   5.,  10.,  30., 60.};
constexpr std::array kRateEdges = {1., 2., 5., 10., 20., 50., 100., 200., 500., 1000., 2000.};
static_assert(kDurationEdges.size() <= Histogram::kEdgesMax);
static_assert(kRateEdges.size() <= Histogram::kEdgesMax);

// Value v (µs) below 2^kSubBits has a bucket of its own; above, the top kSubBits+1 bits choose it.
constexpr std::size_t bucket_of(std::uint64_t us) {
  if (us < (1ULL << Histogram::kSubBits)) return us;
  const int exponent = 63 - std::countl_zero(us) - Histogram::kSubBits;
  const std::size_t index = (static_cast<std::size_t>(exponent + 1) << Histogram::kSubBits) +
                            ((us >> exponent) - (1ULL << Histogram::kSubBits));
  return std::min(index, Histogram::kBuckets - 1);
}

/// Largest value of a bucket, µs.
constexpr std::uint64_t upper_edge(std::size_t bucket) {
  const std::size_t octave = bucket >> Histogram::kSubBits;
  if (octave == 0) return bucket;
  const std::uint64_t base =
      (bucket & ((1ULL << Histogram::kSubBits) - 1)) + (1ULL << Histogram::kSubBits);
  return ((base + 1) << (octave - 1)) - 1;
}

constexpr std::uint64_t to_micros(double seconds) {
  return static_cast<std::uint64_t>(seconds * 1e6 + .5);
}

template <typename CountOf>
double find_quantile(std::uint64_t total, double q, const CountOf& count_of) {
  if (total == 0) return 0;
  const auto wanted = std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(total))));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < Histogram::kBuckets; ++i) {
    seen += count_of(i);
    if (seen >= wanted) return static_cast<double>(upper_edge(i)) * 1e-6;
  }
  return static_cast<double>(upper_edge(Histogram::kBuckets - 1)) * 1e-6;
}

}  // namespace

std::span<const double> edges_of(Scale scale) {
  if (scale == Scale::kRate) return kRateEdges;
  return kDurationEdges;
}

void Histogram::record(std::chrono::nanoseconds duration) {
  add(static_cast<std::uint64_t>(std::max<std::int64_t>(0, duration.count()) / 1000));
}

void Histogram::record_rate(double per_second) {
  // Written so that it takes "nan" for nothing.
  constexpr double kMost = 1e9;
  if (per_second >= 0) add(to_micros(std::min(per_second, kMost)));
}

void Histogram::add(std::uint64_t micros) {
  const auto edges = edges_of(scale_);
  const auto edge =
      std::lower_bound(edges.begin(), edges.end(), micros,
                       [](double limit, std::uint64_t value) { return to_micros(limit) < value; });
  buckets_[bucket_of(micros)].fetch_add(1, std::memory_order_relaxed);
  by_edge_[static_cast<std::size_t>(edge - edges.begin())].fetch_add(1, std::memory_order_relaxed);
  sum_us_.fetch_add(micros, std::memory_order_relaxed);
}

std::uint64_t Histogram::count() const {
  std::uint64_t total = 0;
  for (const auto& each : by_edge_) total += each.load(std::memory_order_relaxed);
  return total;
}

double Histogram::sum_seconds() const {
  return static_cast<double>(sum_us_.load(std::memory_order_relaxed)) * 1e-6;
}

double Histogram::quantile_seconds(double q) const {
  std::uint64_t total = 0;
  for (const auto& bucket : buckets_) total += bucket.load(std::memory_order_relaxed);
  return find_quantile(total, q,
                       [&](std::size_t i) { return buckets_[i].load(std::memory_order_relaxed); });
}

std::uint64_t Histogram::count_at_most(double seconds) const {
  const auto edges = edges_of(scale_);
  const std::uint64_t limit = seconds <= 0 ? 0 : to_micros(seconds);
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < edges.size(); ++i) {
    if (to_micros(edges[i]) > limit) break;
    total += by_edge_[i].load(std::memory_order_relaxed);
    if (to_micros(edges[i]) == limit) return total;
  }
  total = 0;
  for (std::size_t i = 0; i < kBuckets && upper_edge(i) <= limit; ++i)
    total += buckets_[i].load(std::memory_order_relaxed);
  return total;
}

Histogram::Cumulative Histogram::cumulative() const {
  Cumulative out;
  for (std::size_t i = 0; i < by_edge_.size(); ++i) {
    out.count += by_edge_[i].load(std::memory_order_relaxed);
    if (i < kEdgesMax) out.at[i] = out.count;
  }
  out.sum = sum_seconds();
  return out;
}

void Histogram::read(Buckets& out) const {
  // Wraps after 4 billion records: differences stay right.
  for (std::size_t i = 0; i < kBuckets; ++i)
    out[i] = static_cast<std::uint32_t>(buckets_[i].load(std::memory_order_relaxed));
}

double Histogram::quantile_of(const Buckets& now, const Buckets& before, double q) {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) total += now[i] - before[i];
  return find_quantile(total, q, [&](std::size_t i) { return std::uint64_t{now[i] - before[i]}; });
}

}  // namespace knap::observe
