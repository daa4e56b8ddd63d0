#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "knap/base/deadline.hpp"
#include "knap/base/mutex.hpp"

namespace knap::models {

/// Tells when a server that fails is left alone. Closed: it is asked. After kFailuresToOpen
/// failures in a row it opens: nobody asks for a pause that doubles each time; then one caller may
/// try. A server that opened kOpeningsToQuarantine times without one success in between is
/// quarantined: the pause is kQuarantine, and it is said so. A success closes it.
/// Threads: safe.
class Circuit {
 public:
  static constexpr std::uint32_t kFailuresToOpen = 3;
  static constexpr std::uint32_t kOpeningsToQuarantine = 5;
  static constexpr std::chrono::milliseconds kFirstPause{5'000}, kLongestPause{120'000},
      kQuarantine{600'000};

  using Now = std::function<SteadyClock::time_point()>;
  explicit Circuit(Now now = SteadyClock::now) : now_(std::move(now)) {}

  /// True: ask now, and tell succeeded(), failed() or gave_up() afterwards.
  bool enter();
  void succeeded();
  void failed();
  /// The outcome says nothing about the server, e.g. the caller went.
  void gave_up();

  /// "closed", "open for 12 s", "trying again", "quarantined for 340 s". Changes nothing.
  std::string state() const;
  /// Whether enter() would let a caller in.
  bool open() const;

 private:
  bool resting() const KNAP_REQUIRES(mutex_) { return paused_ && now_() < until_; }

  const Now now_;
  mutable Mutex mutex_;
  std::uint32_t failures_ KNAP_GUARDED_BY(mutex_) = 0;  ///< In a row.
  std::uint32_t openings_ KNAP_GUARDED_BY(mutex_) = 0;  ///< Since the last success.
  bool paused_ KNAP_GUARDED_BY(mutex_) = false;
  bool trying_ KNAP_GUARDED_BY(mutex_) = false;  ///< One caller tries whether it works again.
  SteadyClock::time_point until_ KNAP_GUARDED_BY(mutex_);
};

/// Bounds what retries add to a server's load: each request earns a tenth of a retry, kMax at most.
/// Threads: safe.
class RetryBudget {
 public:
  static constexpr std::uint32_t kTenthsMax = 100, kTenthsPerRetry = 10;
  void earn();
  bool spend();

 private:
  Mutex mutex_;
  std::uint32_t tenths_ KNAP_GUARDED_BY(mutex_) = kTenthsMax;
};

}  // namespace knap::models
