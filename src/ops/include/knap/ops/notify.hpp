#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "knap/observe/metrics.hpp"
#include "knap/ops/alerts.hpp"

namespace knap::ops {

/// Where alerts are sent, beside the log. Empty ones: not there.
struct NotifyOptions {
  /// Gets the JSON that Alertmanager sends (version 4), so that its receivers work unchanged.
  std::string webhook;
  struct {
    std::vector<std::string> to;
    std::string from = "knap@localhost";
    std::string smtp;  ///< "smtp://host:25" or "smtps://host:465"; else sendmail.
    std::string user, password;
    std::string sendmail = "/usr/sbin/sendmail";
  } email;
  std::chrono::milliseconds retry_pause{2'000};  ///< Doubles from try to try.
};

/// Sends alerts on a thread of its own. Each way is tried up to kTriesMax times; at most kQueueMax
/// alerts wait, the newest is dropped then, counted and logged.
/// Threads: safe. Destruction gives up what waits.
class Notifier {
 public:
  /// Errors: kInvalidArgument (an address that cannot be read).
  static Result<std::unique_ptr<Notifier>> create(NotifyOptions options,
                                                  observe::Registry& metrics);
  virtual ~Notifier() = default;
  virtual void send(const Alert& alert) = 0;

  static constexpr int kTriesMax = 5;
  static constexpr std::size_t kQueueMax = 100;
};

}  // namespace knap::ops
