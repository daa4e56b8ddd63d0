#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "knap/http/client.hpp"

namespace knap::models {

/// A child that serves one model, as the pool sees it. Supervisor in the product; tests inject
/// others. Threads: safe.
class PooledRunner {
 public:
  virtual ~PooledRunner() = default;

  /// Starts the child if that has not been asked yet. Returns at once.
  virtual void start() = 0;
  /// start(), then waits. Errors: kFailedPrecondition (failed for good: the reason), kUnavailable
  /// (deadline passed while it was starting), kCancelled.
  virtual Status wait_ready(Deadline deadline, const CancelToken& cancel) = 0;
  /// Ready now, else kUnavailable or kFailedPrecondition with the reason. Starts the child if that
  /// was not asked yet.
  virtual Status check_ready() = 0;
  /// A call of the child's broke: it is looked after at once.
  virtual void suspect() = 0;
  /// Stops the child for good, within 2 s. Callers that wait are told kUnavailable.
  virtual void stop() = 0;
  /// The first half of stop(): asks and does not wait, so that several stop side by side.
  virtual void begin_stop() = 0;

  /// "installed" (not started), "loading", "ready", "failed: REASON"
  virtual std::string state() const = 0;
  /// Memory of the child now, libraries and mapped weights included; 0: no child, or not known.
  virtual std::uint64_t resident_bytes() const = 0;
  /// How long the child took to become ready the last time; 0: it has not been yet.
  virtual std::chrono::milliseconds load_time() const = 0;
  /// Where the model's layers lie, in the child's words; empty: it says nothing of that.
  virtual std::string placement() const { return {}; }
  virtual http::Client& client() = 0;
};

}  // namespace knap::models
