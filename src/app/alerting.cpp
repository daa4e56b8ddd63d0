#include "alerting.hpp"

#include <cstdio>

#include <fmt/format.h>

#include "commands.hpp"

namespace knap::app {

double available_goal(const Config& config) {
  for (const ops::Goal& goal : ops::kGoals)
    if (goal.environment == config.alerts.environment) return goal.available;
  return ops::kGoals.back().available;
}

Result<std::unique_ptr<Alerting>> Alerting::open(const Config& config, observe::Registry& metrics) {
  std::unique_ptr<Alerting> out(new Alerting(metrics));
  const auto& from = config.alerts;
  ops::NotifyOptions notify;
  notify.webhook = from.webhook;
  notify.email.to = from.email_to;
  notify.email.from = from.email_from;
  notify.email.smtp = from.smtp;
  notify.email.user = from.smtp_user;
  notify.email.password = from.smtp_password;
  notify.email.sendmail = from.sendmail;
  KNAP_TRY(out->notifier_, ops::Notifier::create(std::move(notify), metrics));
  ops::Alerts::Options options;
  options.file = config.data_dir / "alerts.json";
  options.pending = std::chrono::seconds(from.pending_s);
  options.notify = [notifier = out->notifier_.get()](const ops::Alert& alert) {
    notifier->send(alert);
  };
  std::vector<ops::AlertRule> rules;
  if (from.enabled) rules = ops::alert_rules(available_goal(config));
  out->alerts_ = std::make_unique<ops::Alerts>(std::move(options), std::move(rules), metrics);
  return out;
}

void Alerting::tick(const ops::Vitals& vitals, const ops::HealthMonitor& health,
                    std::int64_t now_ms) {
  budget_.tick(metrics_, now_ms);
  const auto kpis = vitals.kpis();
  const auto checks = health.states();
  alerts_->evaluate({metrics_, kpis, checks, budget_}, now_ms);
}

int alert_rules(const Config& config) {
  const auto text = ops::prometheus_rules(ops::alert_rules(available_goal(config)),
                                          std::chrono::seconds(config.alerts.pending_s));
  std::fwrite(text.data(), 1, text.size(), stdout);
  return kExitDone;
}

}  // namespace knap::app
