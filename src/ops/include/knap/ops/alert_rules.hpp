#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "knap/observe/metrics.hpp"
#include "knap/ops/health.hpp"
#include "knap/ops/vitals.hpp"

namespace knap::ops {

enum class Severity { kWarning, kCritical };
std::string_view to_string(Severity severity);

/// What one rule says now.
struct Verdict {
  bool holds = false;  ///< The condition is met.
  double value = 0;    ///< What it was judged by.
  std::string reason;  ///< A sentence.
};

/// What the rules look at: one moment's figures.
struct Evidence {
  const observe::Registry& metrics;
  const std::vector<KpiState>& kpis;
  const std::vector<CheckState>& checks;
  const class BudgetHistory& budget;
};

/// A condition that somebody should know of, in two forms that say the same: evaluated inside, and
/// as an expression for Prometheus.
struct AlertRule {
  std::string name;  ///< As Prometheus names alerts: "KnapMemoryCritical".
  Severity severity = Severity::kWarning;
  std::string summary;     ///< What is wrong, in a sentence.
  std::string expression;  ///< PromQL.
  std::function<Verdict(const Evidence&)> judge;
};

/// The share of answers within their level's limit that is aimed at: development 95, staging 99,
/// production 99.9 %.
struct Goal {
  std::string_view environment;
  double available;
};
inline constexpr std::array<Goal, 3> kGoals{
    {{"development", .95}, {"staging", .99}, {"production", .999}}};

/// All rules: each KPI beyond its warning and critical value, each check that fails, the error
/// budget of each level burning 14.4, 6 and 1 times too fast, the disk filling, the index lagging.
/// @param available  of a Goal, 0-1
std::vector<AlertRule> alert_rules(double available);

/// The rules as a file for Prometheus.
/// @param pending  how long a condition must hold
std::string prometheus_rules(const std::vector<AlertRule>& rules, std::chrono::seconds pending);

/// How many requests of each level there were and how many of them were bad (slow, refused,
/// failed), by minute, for three days. Threads: one at a time.
class BudgetHistory {
 public:
  /// Reads the counters; at most once a minute is a new entry made, else the newest is renewed.
  void tick(const observe::Registry& metrics, std::int64_t now_ms);

  struct Share {
    double total = 0, bad = 0;
    double share() const { return total > 0 ? bad / total : 0; }
  };
  /// Of the last `window`, or of the time since the start where that is shorter.
  Share share(std::size_t level, std::chrono::minutes window) const;

 private:
  struct Entry {
    std::int64_t at_ms = 0;
    std::array<Share, 5> levels{};
  };
  static constexpr std::size_t kEntriesMax = std::size_t{3} * 24 * 60 + 2;
  std::deque<Entry> entries_;
};

}  // namespace knap::ops
