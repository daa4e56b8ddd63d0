#include "knap/ops/alert_rules.hpp"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

namespace knap::ops {
namespace {

using std::chrono::minutes;

/// The levels by their metrics label, lowest number first.
constexpr std::array<std::string_view, 5> kLevelNames{"status", "cached", "search", "complex",
                                                      "batch"};
/// So few bad requests are no trend, whatever their share.
constexpr double kBadLeast = 10;
constexpr std::int64_t kMinuteMs = 60'000;

/// Several windows, several rates: Site Reliability Workbook, chapter 5. The short window ends the
/// alert soon after the cause has gone.
struct Burn {
  std::string_view name;
  double rate;
  minutes window, brief;
  std::string_view window_text, brief_text;
  Severity severity;
};
constexpr std::array<Burn, 3> kBurns{{
    {"Fast", 14.4, minutes(60), minutes(5), "1h", "5m", Severity::kCritical},
    {"Steady", 6, minutes(360), minutes(30), "6h", "30m", Severity::kCritical},
    {"Slow", 1, minutes(4'320), minutes(360), "3d", "6h", Severity::kWarning},
}};

std::string camel(std::string_view name) {
  std::string out;
  bool upper = true;
  for (const char c : name) {
    if (c == '_') {
      upper = true;
      continue;
    }
    out += upper && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    upper = false;
  }
  return out;
}

/// The left side of a KPI's comparison, as Prometheus computes it.
std::string kpi_expression(std::string_view name) {
  if (name == "cache_hit_rate") {
    return "100 * sum(rate(knap_cache_hits_total[5m])) / sum(rate(knap_cache_requests_total"
           "{layer=\"l1\"}[5m]))";
  }
  if (name == "response_p95") {
    return "histogram_quantile(0.95, sum by (le) (rate(knap_level_seconds_bucket"
           "{level=~\"cached|search\"}[1m])))";
  }
  if (name == "model_queue") return "sum(knap_models_queue_length)";
  if (name == "cpu") {
    return "100 * sum(rate(knap_process_cpu_seconds_total[1m])) / max(knap_allowed_cores)";
  }
  return "100 * sum(knap_process_memory_bytes) / max(knap_allowed_memory_bytes)";
}

AlertRule kpi_rule(const Kpi& kpi, Severity severity) {
  const bool critical = severity == Severity::kCritical;
  const double limit = critical ? kpi.critical : kpi.warning;
  const bool higher = kpi.better == Kpi::Better::kHigher;
  AlertRule rule;
  rule.name = "Knap" + camel(kpi.name) + (critical ? "Critical" : "Warning");
  rule.severity = severity;
  rule.summary =
      fmt::format("{} is {} {:g} {}", kpi.name, higher ? "below" : "above", limit, kpi.unit);
  rule.expression = fmt::format("{} {} {:g}", kpi_expression(kpi.name), higher ? "<" : ">", limit);
  rule.judge = [name = kpi.name, critical](const Evidence& evidence) {
    for (const KpiState& state : evidence.kpis) {
      if (state.kpi.name != name) continue;
      const bool beyond = state.state == KpiState::State::kCritical ||
                          (!critical && state.state == KpiState::State::kWarning);
      return Verdict{beyond, state.value.value_or(0), state.reason};
    }
    return Verdict{};
  };
  return rule;
}

AlertRule check_rule(std::string_view name, Severity severity) {
  AlertRule rule;
  rule.name = "KnapCheckFails" + camel(name);
  rule.severity = severity;
  rule.summary = fmt::format("the check '{}' fails", name);
  rule.expression = fmt::format("knap_health_up{{check=\"{}\"}} == 0", name);
  rule.judge = [check = std::string(name)](const Evidence& evidence) {
    for (const CheckState& state : evidence.checks) {
      if (state.name != check || state.state != CheckState::State::kFailing) continue;
      return Verdict{true, static_cast<double>(state.failures_in_row), state.message};
    }
    return Verdict{};
  };
  return rule;
}

AlertRule burn_rule(std::size_t level, const Burn& burn, double available) {
  const std::string_view name = kLevelNames[level];
  const double limit = burn.rate * (1 - available);
  AlertRule rule;
  rule.name = fmt::format("KnapBudgetBurns{}{}", burn.name, camel(name));
  rule.severity = burn.severity;
  rule.summary = fmt::format("requests of the level '{}' miss their limit {:g} times too often",
                             name, burn.rate);
  const auto share = [&](std::string_view window) {
    return fmt::format(
        "sum(increase(knap_level_requests_total{{level=\"{0}\",result!=\"good\"}}[{1}])) / "
        "sum(increase(knap_level_requests_total{{level=\"{0}\"}}[{1}])) > {2:g}",
        name, window, limit);
  };
  rule.expression = fmt::format(
      "{} and {} and sum(increase(knap_level_requests_total{{level=\"{}\",result!=\"good\"}}[{}])) "
      ">= {:g}",
      share(burn.window_text), share(burn.brief_text), name, burn.window_text, kBadLeast);
  rule.judge = [level, burn, limit](const Evidence& evidence) {
    const auto all = evidence.budget.share(level, burn.window);
    const auto brief = evidence.budget.share(level, burn.brief);
    const bool holds = all.bad >= kBadLeast && all.share() > limit && brief.share() > limit;
    return Verdict{
        holds, all.share(),
        fmt::format("{:.0f} of {:.0f} requests of the last {} missed their limit, {:.1f} "
                    "% where {:.3g} % are too many",
                    all.bad, all.total, burn.window_text, 100 * all.share(), 100 * limit)};
  };
  return rule;
}

AlertRule disk_rule(double least, Severity severity) {
  AlertRule rule;
  rule.name = severity == Severity::kCritical ? "KnapDiskFull" : "KnapDiskFilling";
  rule.severity = severity;
  rule.summary = fmt::format("less than {:g} % of the data folder's disk are free", 100 * least);
  rule.expression = fmt::format(
      "knap_disk_free_bytes{{folder=\"data\"}} / knap_disk_size_bytes{{folder=\"data\"}} < {:g}",
      least);
  rule.judge = [least](const Evidence& evidence) {
    const auto free = evidence.metrics.sum("knap_disk_free_bytes", {{"folder", "data"}});
    const auto size = evidence.metrics.sum("knap_disk_size_bytes", {{"folder", "data"}});
    if (!free || !size || *size <= 0) return Verdict{};
    const double share = *free / *size;
    return Verdict{share < least, share, fmt::format("{:.1f} % are free", 100 * share)};
  };
  return rule;
}

AlertRule lag_rule() {
  constexpr double kLagMost = 300;
  AlertRule rule;
  rule.name = "KnapIndexLags";
  rule.summary = "a change in a vault is not searchable after 5 minutes";
  rule.expression = fmt::format("max(knap_index_lag_seconds) > {:g}", kLagMost);
  rule.judge = [](const Evidence& evidence) {
    const double lag = evidence.metrics.sum("knap_index_lag_seconds").value_or(0);
    return Verdict{lag > kLagMost, lag,
                   fmt::format("the oldest change has waited for {:.0f} s", lag)};
  };
  return rule;
}

/// Text in YAML's double quotes.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

}  // namespace

std::string_view to_string(Severity severity) {
  return severity == Severity::kCritical ? "critical" : "warning";
}

std::vector<AlertRule> alert_rules(double available) {
  std::vector<AlertRule> out;
  for (const Kpi& kpi : kKpis) {
    out.push_back(kpi_rule(kpi, Severity::kWarning));
    out.push_back(kpi_rule(kpi, Severity::kCritical));
  }
  out.push_back(check_rule("search", Severity::kCritical));
  out.push_back(check_rule("store", Severity::kCritical));
  out.push_back(check_rule("embedding", Severity::kWarning));
  out.push_back(check_rule("generation", Severity::kWarning));
  for (std::size_t level = 0; level < kLevelNames.size(); ++level)
    for (const Burn& burn : kBurns) out.push_back(burn_rule(level, burn, available));
  out.push_back(disk_rule(.1, Severity::kWarning));
  out.push_back(disk_rule(.05, Severity::kCritical));
  out.push_back(lag_rule());
  return out;
}

std::string prometheus_rules(const std::vector<AlertRule>& rules, std::chrono::seconds pending) {
  std::string out =
      "# Written by `knap alerts rules`: the alerts that the server evaluates itself.\n"
      "groups:\n  - name: knap\n    rules:\n";
  for (const AlertRule& rule : rules) {
    out += fmt::format(
        "      - alert: {}\n        expr: {}\n        for: {}s\n        labels:\n"
        "          severity: {}\n        annotations:\n          summary: {}\n",
        rule.name, quoted(rule.expression), pending.count(), to_string(rule.severity),
        quoted(rule.summary));
  }
  return out;
}

void BudgetHistory::tick(const observe::Registry& metrics, std::int64_t now_ms) {
  Entry entry;
  entry.at_ms = now_ms;
  for (std::size_t level = 0; level < kLevelNames.size(); ++level) {
    const std::string name(kLevelNames[level]);
    Share& share = entry.levels[level];
    share.total = metrics.sum("knap_level_requests_total", {{"level", name}}).value_or(0);
    share.bad =
        share.total -
        metrics.sum("knap_level_requests_total", {{"level", name}, {"result", "good"}}).value_or(0);
  }
  // The newest moves on within its minute.
  const bool same_minute =
      entries_.size() > 1 && now_ms / kMinuteMs == entries_.back().at_ms / kMinuteMs;
  if (same_minute) {
    entries_.back() = entry;
  } else {
    entries_.push_back(entry);
  }
  if (entries_.size() > kEntriesMax) entries_.pop_front();
}

BudgetHistory::Share BudgetHistory::share(std::size_t level, minutes window) const {
  if (entries_.empty()) return {};
  const Entry& now = entries_.back();
  const std::int64_t begin = now.at_ms - std::chrono::milliseconds(window).count();
  // The last entry at or before the window's beginning; entries are in order of time.
  auto after = std::partition_point(entries_.begin(), entries_.end(),
                                    [&](const Entry& each) { return each.at_ms <= begin; });
  const Entry& then = after == entries_.begin() ? *after : *std::prev(after);
  return {now.levels[level].total - then.levels[level].total,
          now.levels[level].bad - then.levels[level].bad};
}

}  // namespace knap::ops
