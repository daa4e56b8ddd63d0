#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "knap/observe/metrics.hpp"

namespace knap::ops {

/// A part of the program that is tried by letting it do what it is for.
struct HealthCheck {
  std::string name;  ///< "search", "store", "generation": also the metrics label.
  std::chrono::milliseconds interval{1'000};
  std::chrono::milliseconds timeout{1'000};
  /// Without it the program is not ready; else it is only degraded.
  bool needed = false;
  /// Gives a short text for people, e.g. what is not used. Errors: why the part does not work.
  std::function<Result<std::string>(Deadline)> run;
};

struct CheckState {
  enum class State { kUnknown, kOk, kFailing };
  std::string name;
  State state = State::kUnknown;
  std::string message;
  bool needed = false;
  std::int64_t checked_unix_ms = 0;  ///< 0: never yet.
  std::chrono::microseconds took{};
  std::uint32_t failures_in_row = 0;
};
std::string_view to_string(CheckState::State state);

/// Runs the checks on a schedule, each on a thread of its own, so that one that hangs holds up no
/// other and no request ever waits for one.
///
/// Threads: safe. Destruction stops, waiting for a check that runs until its time-out.
class HealthMonitor {
 public:
  HealthMonitor(std::vector<HealthCheck> checks, observe::Registry& metrics);
  ~HealthMonitor();
  HealthMonitor(const HealthMonitor&) = delete;
  HealthMonitor& operator=(const HealthMonitor&) = delete;

  /// Runs the needed checks once, then all on their schedules.
  void start();
  void stop();

  /// As last checked; one whose check is overdue by three intervals and its time-out fails.
  std::vector<CheckState> states() const;
  /// All needed ones are ok. One that is not is tried once more at once, within `patience`: what
  /// has just become ready is said to be.
  bool ready(std::chrono::milliseconds patience);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knap::ops
