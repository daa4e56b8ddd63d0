#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

namespace knap::observe {

/// What a histogram counts: it decides the edges that Prometheus is told. Durations are in seconds,
/// with all limits of the service levels among the edges; rates are in things a second.
enum class Scale { kDuration, kRate };

/// Upper edges of the buckets that Prometheus sees, ascending; above the last is +Inf.
std::span<const double> edges_of(Scale scale);

/// Log-linear histogram (HdrHistogram's idea): 1 µs to about 1 hour, or a millionth to a few
/// thousand a second, with at most 3 % error. Beside it the records at most each edge of its scale
/// are counted exactly. Recording is wait-free; reading sees a state at most a few records apart.
/// Safe from any thread.
class Histogram {
 public:
  explicit Histogram(Scale scale = Scale::kDuration) : scale_(scale) {}

  void record(std::chrono::nanoseconds duration);
  /// Of a rate: things a second, 0 or more.
  void record_rate(double per_second);

  std::uint64_t count() const;
  double sum_seconds() const;  ///< Of rates: the sum of the rates.
  /// @param q  0-1. The upper edge of the bucket that holds the quantile, in seconds; 0 when empty.
  double quantile_seconds(double q) const;
  /// How many records are at most `seconds`; exact at the edges of the scale, else up to 3 % off.
  std::uint64_t count_at_most(double seconds) const;
  Scale scale() const { return scale_; }

  static constexpr std::size_t kEdgesMax = 20;
  /// One moment's counts, for exposition: at[i] is the number of records up to edge i, and never
  /// more than at[i + 1] or `count`.
  struct Cumulative {
    std::array<std::uint64_t, kEdgesMax> at{};
    std::uint64_t count = 0;
    double sum = 0;
  };
  Cumulative cumulative() const;

  static constexpr int kSubBits = 5;  // 32 buckets an octave: 1/32 = 3 %
  static constexpr int kOctaves = 32;
  static constexpr std::size_t kBuckets = (kOctaves + 1) << kSubBits;
  /// The counts of all fine buckets at one moment: two of them subtracted are what happened
  /// between.
  using Buckets = std::array<std::uint32_t, kBuckets>;
  void read(Buckets& out) const;
  /// Quantile of such a difference, in seconds; 0 when it is empty.
  static double quantile_of(const Buckets& now, const Buckets& before, double q);

 private:
  void add(std::uint64_t micros);

  const Scale scale_;
  std::array<std::atomic<std::uint64_t>, kBuckets> buckets_{};
  std::array<std::atomic<std::uint64_t>, kEdgesMax + 1> by_edge_{};
  std::atomic<std::uint64_t> sum_us_ = 0;
};

}  // namespace knap::observe
