#pragma once

#include <memory>

#include "config.hpp"
#include "knap/ops/alerts.hpp"
#include "knap/ops/notify.hpp"

namespace knap::app {

/// Alerts of a server with the ways they are sent, evaluated whenever tick() is called.
class Alerting {
 public:
  /// Errors: kInvalidArgument (a wrong address in the settings).
  static Result<std::unique_ptr<Alerting>> open(const Config& config, observe::Registry& metrics);

  ops::Alerts& alerts() { return *alerts_; }
  /// @param now_ms  Unix time. Threads: one at a time.
  void tick(const ops::Vitals& vitals, const ops::HealthMonitor& health, std::int64_t now_ms);

 private:
  explicit Alerting(observe::Registry& metrics) : metrics_(metrics) {}
  observe::Registry& metrics_;
  ops::BudgetHistory budget_;
  std::unique_ptr<ops::Notifier> notifier_;
  std::unique_ptr<ops::Alerts> alerts_;
};

/// The goal that the settings name.
double available_goal(const Config& config);

}  // namespace knap::app
