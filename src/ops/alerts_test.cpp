#include "knap/ops/alerts.hpp"

#include <cstdlib>
#include <fstream>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "message.hpp"

namespace knap::ops {
namespace {

namespace fs = std::filesystem;
using State = Alert::State;
using testing::HasSubstr;

class AlertsTest : public testing::Test {
 protected:
  AlertsTest() {
    std::string name = (fs::temp_directory_path() / "knap-alerts-XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  ~AlertsTest() override { fs::remove_all(folder_); }

  std::unique_ptr<Alerts> open() {
    AlertRule rule;
    rule.name = "KnapTest";
    rule.severity = Severity::kCritical;
    rule.summary = "the test holds";
    rule.judge = [this](const Evidence&) { return Verdict{holds_, 7, "seven is too many"}; };
    Alerts::Options options;
    options.file = folder_ / "alerts.json";
    options.notify = [this](const Alert& alert) { told_.push_back(alert); };
    return std::make_unique<Alerts>(options, std::vector{rule}, metrics_);
  }
  void pass(Alerts& alerts, int seconds) {
    for (int i = 0; i < seconds; ++i)
      alerts.evaluate({metrics_, kpis_, checks_, budget_}, now_ += 1'000);
  }
  State state(const Alerts& alerts) {
    const auto active = alerts.active();
    return active.empty() ? State::kResolved : active[0].state;
  }

  fs::path folder_;
  observe::Registry metrics_;
  std::vector<KpiState> kpis_;
  std::vector<CheckState> checks_;
  BudgetHistory budget_;
  bool holds_ = false;
  std::vector<Alert> told_;
  std::int64_t now_ = 1'700'000'000'000;
};

TEST_F(AlertsTest, IsPendingThenFiresThenIsResolved) {
  const auto alerts = open();
  pass(*alerts, 5);
  EXPECT_TRUE(alerts->active().empty());
  holds_ = true;
  pass(*alerts, 59);
  EXPECT_EQ(state(*alerts), State::kPending);
  EXPECT_TRUE(told_.empty());
  pass(*alerts, 5);
  EXPECT_EQ(state(*alerts), State::kFiring);
  ASSERT_EQ(told_.size(), 1U);
  EXPECT_EQ(told_[0].reason, "seven is too many");
  EXPECT_EQ(metrics_.sum("knap_alerts_firing", {{"severity", "critical"}}), 1);
  holds_ = false;
  pass(*alerts, 20);
  EXPECT_EQ(state(*alerts), State::kFiring) << "it may come back at once";
  pass(*alerts, 20);
  EXPECT_TRUE(alerts->active().empty());
  ASSERT_EQ(alerts->history().size(), 1U);
  ASSERT_EQ(told_.size(), 2U);
  EXPECT_EQ(told_[1].state, State::kResolved);
  EXPECT_EQ(told_[1].id, told_[0].id);
}

TEST_F(AlertsTest, ForgetsWhatDidNotLastLongEnough) {
  const auto alerts = open();
  holds_ = true;
  pass(*alerts, 30);
  holds_ = false;
  pass(*alerts, 1);
  holds_ = true;
  pass(*alerts, 50);
  EXPECT_EQ(state(*alerts), State::kPending);
  EXPECT_TRUE(told_.empty());
}

TEST_F(AlertsTest, IsAcknowledgedOnceAndOnlyWhileItFires) {
  const auto alerts = open();
  EXPECT_EQ(alerts->acknowledge("alert-1", "ann", "", now_).error().code, ErrorCode::kNotFound);
  holds_ = true;
  pass(*alerts, 70);
  EXPECT_EQ(alerts->acknowledge("alert-1", "ann", "on it", now_)->state, State::kAcknowledged);
  EXPECT_EQ(alerts->acknowledge("alert-1", "bob", "", now_)->acknowledged_by, "ann");
  holds_ = false;
  pass(*alerts, 70);
  EXPECT_EQ(alerts->acknowledge("alert-1", "bob", "", now_).error().code,
            ErrorCode::kFailedPrecondition);
  EXPECT_EQ(alerts->history()[0].note, "on it");
}

TEST_F(AlertsTest, SurvivesARestart) {
  {
    const auto alerts = open();
    holds_ = true;
    pass(*alerts, 70);
    holds_ = false;
    pass(*alerts, 70);
    holds_ = true;
    pass(*alerts, 70);
    ASSERT_TRUE(alerts->acknowledge("alert-2", "ann", "", now_));
  }
  const auto alerts = open();
  EXPECT_EQ(alerts->history().size(), 1U);
  ASSERT_EQ(alerts->active().size(), 1U);
  EXPECT_EQ(alerts->active()[0].state, State::kAcknowledged);
  pass(*alerts, 100);
  EXPECT_EQ(told_.size(), 3U) << "it was told already";
  holds_ = false;
  pass(*alerts, 70);
  EXPECT_EQ(alerts->history().size(), 2U);
  EXPECT_EQ(alerts->history()[0].id, "alert-2");
}

TEST_F(AlertsTest, SetsADamagedFileAside) {
  std::ofstream(folder_ / "alerts.json") << "{\"version\": 1, \"next_id\": 3, \"alerts\": [{}]}";
  const auto alerts = open();
  EXPECT_TRUE(alerts->active().empty());
  EXPECT_TRUE(fs::exists(folder_ / "alerts.json.damaged"));
}

TEST_F(AlertsTest, BurnsTheBudgetOnlyWhenBothWindowsDo) {
  const auto rules = alert_rules(.999);
  const auto fast = std::ranges::find(rules, "KnapBudgetBurnsFastSearch", &AlertRule::name);
  ASSERT_NE(fast, rules.end());
  const auto count = [&](const char* result) -> observe::Counter& {
    return metrics_.counter("knap_level_requests_total", "",
                            {{"level", "search"}, {"result", result}});
  };
  const auto minutes = [&](int number, int good, int slow) {
    for (int i = 0; i < number; ++i) {
      count("good").add(static_cast<std::uint64_t>(good));
      count("slow").add(static_cast<std::uint64_t>(slow));
      budget_.tick(metrics_, now_ += 60'000);
    }
    return fast->judge({metrics_, kpis_, checks_, budget_}).holds;
  };
  budget_.tick(metrics_, now_);
  EXPECT_FALSE(minutes(60, 1'000, 0));
  EXPECT_FALSE(minutes(2, 1'000, 3)) << "too few to mean anything";
  EXPECT_TRUE(minutes(40, 970, 30));
  EXPECT_FALSE(minutes(6, 1'000, 0)) << "the cause has gone";
}

TEST(AlertRules, HaveNamesOfTheirOwnAndAFormForPrometheus) {
  const auto rules = alert_rules(.99);
  std::set<std::string> names;
  for (const AlertRule& rule : rules) {
    EXPECT_TRUE(names.insert(rule.name).second) << rule.name;
    EXPECT_FALSE(rule.expression.empty() || rule.summary.empty()) << rule.name;
  }
  EXPECT_EQ(rules.size(), 32U);
  const std::string text = prometheus_rules(rules, std::chrono::seconds(60));
  EXPECT_THAT(text, HasSubstr("      - alert: KnapModelQueueCritical\n        expr: "
                              "\"sum(knap_models_queue_length) > 10\"\n        for: 60s\n"));
  EXPECT_THAT(text, HasSubstr("knap_health_up{check=\\\"search\\\"} == 0"));
}

TEST(Message, IsAMailWithoutWaysIntoItsHeader) {
  Alert alert;
  alert.id = "alert-1";
  alert.rule = "KnapTest";
  alert.summary = "bad\r\nBcc: everyone@example.com";
  alert.reason = "because";
  alert.state = State::kFiring;
  alert.fired_ms = 1'767'225'600'000;
  NotifyOptions options;
  options.email.to = {"ann@example.com"};
  const std::string mail = mail_text(alert, options);
  EXPECT_THAT(mail, HasSubstr("\r\nSubject: [warning] Knap: bad  Bcc: everyone@example.com\r\n"));
  EXPECT_THAT(mail, HasSubstr("\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n"));
  EXPECT_THAT(webhook_body(alert), HasSubstr("\"startsAt\":\"2026-01-01T00:00:00Z\""));
}

TEST(Notifier, RefusesAddressesItCannotRead) {
  observe::Registry metrics;
  NotifyOptions options;
  options.webhook = "ftp://x";
  EXPECT_EQ(Notifier::create(options, metrics).error().code, ErrorCode::kInvalidArgument);
  options.webhook.clear();
  options.email.smtp = "mail.example.com";
  EXPECT_EQ(Notifier::create(options, metrics).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace knap::ops
