#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knap/observe/metrics.hpp"

namespace knap::ops {

/// A figure that tells how well the server does, with the values at which it does not.
struct Kpi {
  std::string_view name, unit, what;
  enum class Better { kHigher, kLower } better = Better::kLower;
  double target = 0, warning = 0, critical = 0;
};

/// hit rate > 80/75/60 %, p95 < 1/2/3 s, model queue < 2/5/10, CPU < 75/80/90 %, memory < 70/80/90
/// %.
inline constexpr std::array<Kpi, 5> kKpis{{
    {"cache_hit_rate", "%", "look-ups in caches that found something, in the last five minutes",
     Kpi::Better::kHigher, 80, 75, 60},
    {"response_p95", "s",
     "time within which 95 % of the searches and first quotes came, last minute",
     Kpi::Better::kLower, 1, 2, 3},
    {"model_queue", "requests", "answers that wait for a model's first token", Kpi::Better::kLower,
     2, 5, 10},
    {"cpu", "%",
     "processor time of the server and its runners, of what they may use, last ten "
     "seconds",
     Kpi::Better::kLower, 75, 80, 90},
    {"memory", "%", "memory of the server and its runners, of what they may use",
     Kpi::Better::kLower, 70, 80, 90},
}};

struct KpiState {
  Kpi kpi;
  enum class State { kUnknown, kGood, kFair, kWarning, kCritical };
  State state = State::kUnknown;
  std::optional<double> value;  ///< Nothing: too little happened to tell.
  std::string reason;           ///< A sentence.
};
std::string_view to_string(KpiState::State state);
/// @param value  nothing: unknown, for `why`
KpiState judge(const Kpi& kpi, std::optional<double> value, std::string_view why = {});

/// One moment of the trends.
struct TrendPoint {
  std::int64_t unix_s = 0;
  double requests_per_second = 0, failed_per_second = 0, refused_per_second = 0;
  double p50_ms = 0, p95_ms = 0, p99_ms = 0;  ///< Of searches and first quotes in the interval.
  double cpu_percent = 0, memory_percent = 0, memory_bytes = 0;
  double hit_rate_percent = 0, model_queue = 0, index_lag_s = 0;
};

/// Looks at the registry every few seconds and keeps what KPIs and trends need: the last hour in
/// steps of ten seconds, the last day in steps of five minutes.
/// Threads: safe; tick() from one.
class Vitals {
 public:
  struct Limits {
    double cores = 1;
    std::uint64_t memory_bytes = 0;  ///< What the server and its runners may take; 0: unknown.
  };
  Vitals(observe::Registry& metrics, Limits limits);
  ~Vitals();
  Vitals(const Vitals&) = delete;
  Vitals& operator=(const Vitals&) = delete;

  /// @param now_ms  Unix time. Moments closer than a second to the last one are left out.
  void tick(std::int64_t now_ms);

  std::vector<KpiState> kpis() const;
  enum class Span { kHour, kDay };
  std::vector<TrendPoint> trends(Span span) const;  ///< Oldest first.

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knap::ops
