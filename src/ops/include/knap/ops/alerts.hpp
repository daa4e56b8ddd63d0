#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "knap/ops/alert_rules.hpp"

namespace knap::ops {

/// One occurrence of a rule.
struct Alert {
  enum class State { kPending, kFiring, kAcknowledged, kResolved };
  std::string id;  ///< "alert-17"
  std::string rule, summary, reason;
  Severity severity = Severity::kWarning;
  State state = State::kPending;
  double value = 0;
  std::int64_t pending_ms = 0, fired_ms = 0, acknowledged_ms = 0,
               resolved_ms = 0;  ///< Unix; 0: no.
  std::string acknowledged_by, note;
};
std::string_view to_string(Alert::State state);

/// Evaluates the rules and remembers what they said.
///
/// A condition that holds is pending; after `pending` it fires; somebody may acknowledge it; when
/// it has not held for `quiet` it is resolved. A pending one that ends is forgotten. Fired ones are
/// kept in a file, 500 at most, the oldest resolved ones go first. Threads: safe.
class Alerts {
 public:
  struct Options {
    std::filesystem::path file;  ///< Where alerts survive a restart; empty: nowhere.
    std::chrono::seconds pending{60};
    std::chrono::seconds quiet{30};
    /// Told of alerts that fire and that are resolved, outside the lock.
    std::function<void(const Alert&)> notify;
  };
  /// A file that cannot be read is set aside (".damaged") and told in the log: alerts begin anew.
  Alerts(Options options, std::vector<AlertRule> rules, observe::Registry& metrics);
  ~Alerts();
  Alerts(const Alerts&) = delete;
  Alerts& operator=(const Alerts&) = delete;

  void evaluate(const Evidence& evidence, std::int64_t now_ms);

  std::vector<Alert> active() const;   ///< Pending, firing, acknowledged; critical first.
  std::vector<Alert> history() const;  ///< Resolved, newest first.
  /// Errors: kNotFound; kFailedPrecondition (pending or resolved). One that is acknowledged already
  /// stays so, by the first.
  Result<Alert> acknowledge(std::string_view id, std::string by, std::string note,
                            std::int64_t now_ms);

  static constexpr std::size_t kKept = 500;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knap::ops
