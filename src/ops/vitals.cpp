#include "knap/ops/vitals.hpp"

#include <algorithm>
#include <deque>

#include <fmt/format.h>

#include "knap/base/mutex.hpp"

namespace knap::ops {
namespace {

using observe::Histogram;

constexpr std::int64_t kStepMs = 10'000;  // of the last hour's trends
constexpr std::int64_t kDayStepMs = 300'000;
constexpr std::size_t kHourPoints = 360, kDayPoints = 288;
constexpr std::int64_t kLatencyWindowMs = 60'000, kHitWindowMs = 300'000, kCpuWindowMs = 10'000;
/// Fewer say nothing about a share or a quantile.
constexpr double kLookupsLeast = 20, kRequestsLeast = 5;

/// What is counted since the start, at one moment.
struct Reading {
  std::int64_t at_ms = 0;
  double requests = 0, failed = 0, refused = 0, cpu_s = 0, hits = 0, lookups = 0;
};

/// The fine buckets of all histograms of searches and first quotes, added up.
struct Latencies {
  std::int64_t at_ms = 0;
  Histogram::Buckets buckets{};
  double count = 0;
};

}  // namespace

std::string_view to_string(KpiState::State state) {
  switch (state) {
    case KpiState::State::kUnknown: return "unknown";
    case KpiState::State::kGood: return "good";
    case KpiState::State::kFair: return "fair";
    case KpiState::State::kWarning: return "warning";
    case KpiState::State::kCritical: return "critical";
  }
  return "unknown";
}

KpiState judge(const Kpi& kpi, std::optional<double> value, std::string_view why) {
  KpiState out{kpi, KpiState::State::kUnknown, value, std::string(why)};
  if (!value) return out;
  const bool higher = kpi.better == Kpi::Better::kHigher;
  const auto beyond = [&](double limit) { return higher ? *value < limit : *value > limit; };
  const char* const worse = higher ? "below" : "above";
  const auto say = [&](KpiState::State state, double limit, std::string_view name) {
    out.state = state;
    out.reason = fmt::format("{:.3g} {} is {} the {} of {:g} {}", *value, kpi.unit, worse, name,
                             limit, kpi.unit);
  };
  if (beyond(kpi.critical)) {
    say(KpiState::State::kCritical, kpi.critical, "critical value");
  } else if (beyond(kpi.warning)) {
    say(KpiState::State::kWarning, kpi.warning, "warning value");
  } else if (beyond(kpi.target)) {
    say(KpiState::State::kFair, kpi.target, "target");
  } else {
    out.state = KpiState::State::kGood;
    out.reason = fmt::format("{:.3g} {} meets the target of {:g} {}", *value, kpi.unit, kpi.target,
                             kpi.unit);
  }
  return out;
}

struct Vitals::Impl {
  Impl(observe::Registry& registry, Limits the_limits) : metrics(registry), limits(the_limits) {}

  Reading read(std::int64_t now_ms) const {
    const auto sum = [&](std::string_view name, const observe::Labels& labels = {}) {
      return metrics.sum(name, labels).value_or(0);
    };
    Reading out;
    out.at_ms = now_ms;
    out.requests = sum("knap_level_requests_total");
    out.failed = sum("knap_level_requests_total", {{"result", "failed"}});
    out.refused = sum("knap_level_requests_total", {{"result", "refused"}});
    out.cpu_s = sum("knap_process_cpu_seconds_total");
    out.hits = sum("knap_cache_hits_total");
    for (const std::string layer : {"l1", "l2", "l3"})
      out.lookups = std::max(out.lookups, sum("knap_cache_requests_total", {{"layer", layer}}));
    return out;
  }

  Latencies read_latencies(std::int64_t now_ms) const {
    Latencies out;
    out.at_ms = now_ms;
    Histogram::Buckets one{};
    for (const std::string level : {"cached", "search"}) {
      for (const Histogram* histogram :
           metrics.histograms("knap_level_seconds", {{"level", level}})) {
        histogram->read(one);
        for (std::size_t i = 0; i < one.size(); ++i) out.buckets[i] += one[i];
        out.count += static_cast<double>(histogram->count());
      }
    }
    return out;
  }

  /// The newest of `kept` that is at least `window` old; the oldest where none is.
  template <typename T>
  static const T& before(const std::deque<T>& kept, std::int64_t now_ms, std::int64_t window) {
    const T* best = &kept.front();
    for (const T& each : kept)
      if (each.at_ms <= now_ms - window) best = &each;
    return *best;
  }
  template <typename T>
  static void forget(std::deque<T>& kept, std::int64_t now_ms, std::int64_t window) {
    while (kept.size() > 2 && kept[1].at_ms <= now_ms - window) kept.pop_front();
  }

  double memory_bytes() const { return metrics.sum("knap_process_memory_bytes").value_or(0); }
  std::optional<double> memory_percent() const {
    if (limits.memory_bytes == 0) return std::nullopt;
    return 100 * memory_bytes() / static_cast<double>(limits.memory_bytes);
  }

  std::optional<double> cpu_percent(const Reading& now, const Reading& then) const {
    const double seconds = static_cast<double>(now.at_ms - then.at_ms) / 1000;
    // A runner that ended takes its time with it: the sum may fall.
    if (seconds <= 0 || now.cpu_s < then.cpu_s) return std::nullopt;
    return std::min(100.0, 100 * (now.cpu_s - then.cpu_s) / seconds / limits.cores);
  }

  static std::optional<double> hit_rate(const Reading& now, const Reading& then) {
    const double lookups = now.lookups - then.lookups;
    if (lookups < kLookupsLeast) return std::nullopt;
    return std::min(100.0, 100 * (now.hits - then.hits) / lookups);
  }

  TrendPoint point(const Reading& now, const Reading& then, const Latencies& fresh,
                   const Latencies& old) const {
    const double seconds = std::max(1e-3, static_cast<double>(now.at_ms - then.at_ms) / 1000);
    TrendPoint out;
    out.unix_s = now.at_ms / 1000;
    out.requests_per_second = (now.requests - then.requests) / seconds;
    out.failed_per_second = (now.failed - then.failed) / seconds;
    out.refused_per_second = (now.refused - then.refused) / seconds;
    const auto quantile = [&](double q) {
      return 1000 * Histogram::quantile_of(fresh.buckets, old.buckets, q);
    };
    out.p50_ms = quantile(.5);
    out.p95_ms = quantile(.95);
    out.p99_ms = quantile(.99);
    out.cpu_percent = cpu_percent(now, then).value_or(0);
    out.memory_percent = memory_percent().value_or(0);
    out.memory_bytes = memory_bytes();
    out.hit_rate_percent = hit_rate(now, then).value_or(0);
    out.model_queue = metrics.sum("knap_models_queue_length").value_or(0);
    out.index_lag_s = metrics.sum("knap_index_lag_seconds").value_or(0);
    return out;
  }

  void add_point(std::deque<TrendPoint>& points, std::size_t most, const TrendPoint& point)
      KNAP_REQUIRES(mutex) {
    points.push_back(point);
    if (points.size() > most) points.pop_front();
  }

  void tick(std::int64_t now_ms) KNAP_EXCLUDES(mutex) {
    Reading now = read(now_ms);
    const MutexLock lock(mutex);
    if (!readings.empty() && now_ms - readings.back().at_ms < 1000) return;
    readings.push_back(now);
    forget(readings, now_ms, kHitWindowMs);
    if (!latencies.empty() && now_ms - latencies.back().at_ms < kStepMs) return;
    latencies.push_back(read_latencies(now_ms));
    forget(latencies, now_ms, kLatencyWindowMs);
    if (latencies.size() > 1) {
      const Latencies& old = latencies[latencies.size() - 2];
      add_point(hour, kHourPoints,
                point(now, before(readings, now_ms, kStepMs), latencies.back(), old));
    }
    if (day_start.at_ms == 0) {
      day_start = now;
      day_latencies = latencies.back();
    } else if (now_ms - day_start.at_ms >= kDayStepMs) {
      add_point(day, kDayPoints, point(now, day_start, latencies.back(), day_latencies));
      day_start = now;
      day_latencies = latencies.back();
    }
  }

  std::optional<double> value_of(std::string_view name, std::string& why) const
      KNAP_REQUIRES(mutex) {
    if (name == "model_queue") return metrics.sum("knap_models_queue_length").value_or(0);
    if (name == "memory") {
      why = "what the server may take is not known";
      return memory_percent();
    }
    why = "the server has just started";
    if (readings.size() < 2) return std::nullopt;
    const Reading& now = readings.back();
    if (name == "cpu") return cpu_percent(now, before(readings, now.at_ms, kCpuWindowMs));
    if (name == "cache_hit_rate") {
      why = "fewer than 20 look-ups in the last five minutes";
      return hit_rate(now, before(readings, now.at_ms, kHitWindowMs));
    }
    why = "fewer than 5 searches and questions in the last minute";
    const Latencies fresh = read_latencies(now.at_ms);
    const Latencies& old = before(latencies, now.at_ms, kLatencyWindowMs);
    if (fresh.count - old.count < kRequestsLeast) return std::nullopt;
    return Histogram::quantile_of(fresh.buckets, old.buckets, .95);
  }

  const observe::Registry& metrics;
  const Limits limits;
  mutable Mutex mutex;
  std::deque<Reading> readings KNAP_GUARDED_BY(mutex);
  std::deque<Latencies> latencies KNAP_GUARDED_BY(mutex);
  std::deque<TrendPoint> hour KNAP_GUARDED_BY(mutex), day KNAP_GUARDED_BY(mutex);
  Reading day_start KNAP_GUARDED_BY(mutex);
  Latencies day_latencies KNAP_GUARDED_BY(mutex);
};

Vitals::Vitals(observe::Registry& metrics, Limits limits)
    : impl_(std::make_unique<Impl>(metrics, limits)) {
  metrics.gauge("knap_allowed_cores", "Cores that the server and its runners may use")
      .set(limits.cores);
  metrics.gauge("knap_allowed_memory_bytes", "Memory that the server and its runners may take")
      .set(static_cast<double>(limits.memory_bytes));
}
Vitals::~Vitals() = default;

void Vitals::tick(std::int64_t now_ms) { impl_->tick(now_ms); }

std::vector<KpiState> Vitals::kpis() const {
  const MutexLock lock(impl_->mutex);
  std::vector<KpiState> out;
  for (const Kpi& kpi : kKpis) {
    std::string why;
    const auto value = impl_->value_of(kpi.name, why);
    out.push_back(judge(kpi, value, why));
  }
  return out;
}

std::vector<TrendPoint> Vitals::trends(Span span) const {
  const MutexLock lock(impl_->mutex);
  const auto& points = span == Span::kHour ? impl_->hour : impl_->day;
  return {points.begin(), points.end()};
}

}  // namespace knap::ops
