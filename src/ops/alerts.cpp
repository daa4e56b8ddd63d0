#include "knap/ops/alerts.hpp"

#include <algorithm>
#include <map>
#include <system_error>

#include "alert_file.hpp"
#include "knap/base/mutex.hpp"
#include "knap/observe/log.hpp"

namespace knap::ops {

std::string_view to_string(Alert::State state) {
  switch (state) {
    case Alert::State::kPending: return "pending";
    case Alert::State::kFiring: return "firing";
    case Alert::State::kAcknowledged: return "acknowledged";
    case Alert::State::kResolved: return "resolved";
  }
  return "resolved";
}

struct Alerts::Impl {
  Impl(Options the_options, std::vector<AlertRule> the_rules, observe::Registry& registry)
      : options(std::move(the_options)), rules(std::move(the_rules)), metrics(registry) {}

  void load() KNAP_EXCLUDES(mutex) {
    if (options.file.empty()) return;
    auto read = read_alerts(options.file);
    if (!read) {
      if (read.error().code == ErrorCode::kNotFound) return;
      observe::log_warning("alerts_unreadable", read.error().message);
      std::error_code ignored;
      std::filesystem::rename(options.file, options.file.string() + ".damaged", ignored);
      return;
    }
    const MutexLock lock(mutex);
    next_id = read->next_id;
    for (Alert& alert : read->alerts) {
      if (alert.state == Alert::State::kResolved) {
        resolved.push_back(std::move(alert));
      } else {
        // Of a rule that is no more, or that is named otherwise now: nobody would ever resolve it.
        const bool known = std::ranges::any_of(
            rules, [&](const AlertRule& rule) { return rule.name == alert.rule; });
        if (known) {
          const std::string rule = alert.rule;
          live.emplace(rule, Live{std::move(alert), 0});
        }
      }
    }
  }

  void save() KNAP_REQUIRES(mutex) {
    if (options.file.empty()) return;
    AlertFile out{next_id, {}};
    for (const auto& [rule, each] : live)
      if (each.alert.state != Alert::State::kPending) out.alerts.push_back(each.alert);
    for (const Alert& alert : resolved)
      if (out.alerts.size() < kKept) out.alerts.push_back(alert);
    const Status written = write_alerts(options.file, out);
    // Once in a while is enough: a full disk would fill the log too.
    if (!written && !std::exchange(write_failed, true))
      observe::log_warning("alerts_not_kept", written.error().message);
    if (written) write_failed = false;
  }

  /// Takes what a rule says into account. True when something was changed that is kept.
  bool apply(const AlertRule& rule, const Verdict& verdict, std::int64_t now_ms,
             std::vector<Alert>& told) KNAP_REQUIRES(mutex) {
    auto found = live.find(rule.name);
    if (verdict.holds) {
      if (found == live.end()) {
        Alert alert;
        alert.rule = rule.name;
        alert.summary = rule.summary;
        alert.severity = rule.severity;
        alert.pending_ms = now_ms;
        found = live.emplace(rule.name, Live{std::move(alert), 0}).first;
      }
      Alert& alert = found->second.alert;
      found->second.held_ms = now_ms;
      alert.value = verdict.value;
      alert.reason = verdict.reason;
      const auto pending = std::chrono::milliseconds(options.pending).count();
      if (alert.state != Alert::State::kPending || now_ms - alert.pending_ms < pending)
        return false;
      alert.id = "alert-" + std::to_string(next_id++);
      alert.state = Alert::State::kFiring;
      alert.fired_ms = now_ms;
      told.push_back(alert);
      return true;
    }
    if (found == live.end()) return false;
    Live& entry = found->second;
    if (entry.alert.state == Alert::State::kPending) {
      live.erase(found);
      return false;
    }
    // After a restart it is given time to hold again.
    if (entry.held_ms == 0) entry.held_ms = now_ms;
    if (now_ms - entry.held_ms < std::chrono::milliseconds(options.quiet).count()) return false;
    Alert alert = std::move(entry.alert);
    live.erase(found);
    alert.state = Alert::State::kResolved;
    alert.resolved_ms = now_ms;
    told.push_back(alert);
    resolved.insert(resolved.begin(), std::move(alert));
    if (resolved.size() > kKept) resolved.pop_back();
    return true;
  }

  void set_gauges() KNAP_REQUIRES(mutex) {
    for (const Severity severity : {Severity::kWarning, Severity::kCritical}) {
      const auto count = std::ranges::count_if(live, [&](const auto& each) {
        return each.second.alert.severity == severity &&
               each.second.alert.state != Alert::State::kPending;
      });
      metrics
          .gauge("knap_alerts_firing", "Alerts that fire, acknowledged ones too",
                 {{"severity", std::string(to_string(severity))}})
          .set(static_cast<double>(count));
    }
  }

  struct Live {
    Alert alert;
    std::int64_t held_ms = 0;  // when the condition was met last
  };
  const Options options;
  const std::vector<AlertRule> rules;
  observe::Registry& metrics;
  mutable Mutex mutex;
  std::map<std::string, Live, std::less<>> live KNAP_GUARDED_BY(mutex);
  std::vector<Alert> resolved KNAP_GUARDED_BY(mutex);
  std::uint64_t next_id KNAP_GUARDED_BY(mutex) = 1;
  bool write_failed KNAP_GUARDED_BY(mutex) = false;
};

Alerts::Alerts(Options options, std::vector<AlertRule> rules, observe::Registry& metrics)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(rules), metrics)) {
  impl_->load();
}
Alerts::~Alerts() = default;

void Alerts::evaluate(const Evidence& evidence, std::int64_t now_ms) {
  std::vector<Alert> told;
  {
    const MutexLock lock(impl_->mutex);
    bool changed = false;
    for (const AlertRule& rule : impl_->rules)
      changed = impl_->apply(rule, rule.judge(evidence), now_ms, told) || changed;
    if (changed) impl_->save();
    impl_->set_gauges();
  }
  for (const Alert& alert : told) {
    const bool fired = alert.state == Alert::State::kFiring;
    observe::log(fired ? observe::LogLevel::kWarning : observe::LogLevel::kInfo,
                 fired ? "alert_firing" : "alert_resolved", alert.summary + ": " + alert.reason,
                 {{"alert", alert.id},
                  {"rule", alert.rule},
                  {"severity", std::string(to_string(alert.severity))}});
    if (impl_->options.notify) impl_->options.notify(alert);
  }
}

std::vector<Alert> Alerts::active() const {
  const MutexLock lock(impl_->mutex);
  std::vector<Alert> out;
  for (const auto& [rule, each] : impl_->live) out.push_back(each.alert);
  std::ranges::stable_sort(out, [](const Alert& a, const Alert& b) {
    return static_cast<int>(a.severity) > static_cast<int>(b.severity);
  });
  return out;
}

std::vector<Alert> Alerts::history() const {
  const MutexLock lock(impl_->mutex);
  return impl_->resolved;
}

Result<Alert> Alerts::acknowledge(std::string_view id, std::string by, std::string note,
                                  std::int64_t now_ms) {
  const MutexLock lock(impl_->mutex);
  for (auto& [rule, each] : impl_->live) {
    Alert& alert = each.alert;
    if (alert.id != id || id.empty()) continue;
    if (alert.state == Alert::State::kFiring) {
      alert.state = Alert::State::kAcknowledged;
      alert.acknowledged_ms = now_ms;
      alert.acknowledged_by = std::move(by);
      alert.note = std::move(note);
      impl_->save();
    }
    return alert;
  }
  for (const Alert& alert : impl_->resolved) {
    if (alert.id == id)
      return make_error(ErrorCode::kFailedPrecondition,
                        "the alert " + alert.id + " is resolved already");
  }
  return make_error(ErrorCode::kNotFound,
                    "no such alert: GET /api/health/alerts or `knap alerts` lists them");
}

}  // namespace knap::ops
