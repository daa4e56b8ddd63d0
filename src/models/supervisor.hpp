#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/file.hpp"
#include "knap/base/mutex.hpp"
#include "knap/base/result.hpp"
#include "knap/http/client.hpp"
#include "knap/observe/metrics.hpp"
#include "pooled_runner.hpp"
#include "process.hpp"

namespace knap::models {

/// Keeps one runner child alive: starts it, waits until it is ready, probes it, replaces it when it
/// crashes or hangs.
///
/// Threads: safe. One thread of its own starts and watches the child. A runner that says its model
/// cannot be loaded is not started again until retry(); one that crashes is, after a pause that
/// doubles up to back_off_max.
class Supervisor final : public PooledRunner {
 public:
  struct Options {
    std::string name;  ///< The model's.
    std::vector<std::string>
        command;  ///< Program and arguments; "--socket PATH --parent PID" are added.
    /// What to run instead once `command` ended twice in a row before it was ready; empty: the same
    /// again.
    std::vector<std::string> fallback_command;
    std::string socket;  ///< At most 100 bytes, as the system asks.
    std::function<Status(const CancelToken&)>
        prepare;  ///< Before each start, e.g. checksums. An error is final.
    std::chrono::milliseconds start_timeout{60'000};
    /// Together at most 2 s until a hang is seen. A runner answers from a thread that computes
    /// nothing, so that even on busy cores it needs milliseconds.
    std::chrono::milliseconds probe_interval{300};
    std::chrono::milliseconds probe_timeout{1'500};
    std::chrono::milliseconds stop_grace{1'000};
    std::chrono::milliseconds back_off_min{100};
    std::chrono::milliseconds back_off_max{30'000};
    std::chrono::milliseconds stable_after{60'000};  ///< Up for so long: the pause is short again.
  };
  Supervisor(Options options, observe::Registry& metrics);
  ~Supervisor() override;  ///< Stops the child within 2 s.
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  /// Starts the child if that has not been asked yet. Returns at once.
  void start() KNAP_EXCLUDES(mutex_) override;
  /// start(), then waits. Errors: kFailedPrecondition (failed for good: the reason), kUnavailable
  /// (deadline passed while it was starting), kCancelled.
  Status wait_ready(Deadline deadline, const CancelToken& cancel) KNAP_EXCLUDES(mutex_) override;
  /// Ready now, else kUnavailable or kFailedPrecondition with the reason. Starts the child if that
  /// was not asked yet.
  Status check_ready() KNAP_EXCLUDES(mutex_) override;
  /// Tries again after a failure, e.g. when the model was fetched anew.
  void retry() KNAP_EXCLUDES(mutex_);

  /// A call of the child's broke: it is probed at once, and nobody is told "ready" until that is
  /// answered.
  void suspect() KNAP_EXCLUDES(mutex_) override;
  /// Stops the child for good, within 2 s. Callers that wait are told kUnavailable.
  void stop() KNAP_EXCLUDES(mutex_) override;
  /// The first half of stop(): asks and does not wait, so that several stop side by side.
  void begin_stop() KNAP_EXCLUDES(mutex_) override;

  /// "installed" (not started), "loading", "ready", "failed: REASON"
  std::string state() const KNAP_EXCLUDES(mutex_) override;
  /// The child's process id; 0 when there is none.
  pid_t pid() const KNAP_EXCLUDES(mutex_);
  std::uint64_t resident_bytes() const override { return knap::models::resident_bytes(pid()); }
  std::chrono::milliseconds load_time() const KNAP_EXCLUDES(mutex_) override;
  std::string placement() const KNAP_EXCLUDES(mutex_) override;
  http::Client& client() override { return *client_; }

 private:
  enum class State { kIdle, kStarting, kReady, kPaused, kFailed };

  void run();
  bool sleep_until_wanted() KNAP_EXCLUDES(mutex_);
  void run_child();
  std::vector<std::string> command_now() const;
  Status await_ready(ChildProcess& child);
  std::string watch(ChildProcess& child);
  void clear_suspicion() KNAP_EXCLUDES(mutex_);
  Result<bool> probe(std::chrono::milliseconds timeout);
  void wait_for_change(const ChildProcess& child, std::chrono::milliseconds at_most);
  void set_state(State state, std::string reason = {}) KNAP_EXCLUDES(mutex_);
  bool stopping() const KNAP_EXCLUDES(mutex_);
  void pause() KNAP_EXCLUDES(mutex_);
  Status not_ready() const KNAP_REQUIRES(mutex_);
  void wake();

  const Options options_;
  const std::unique_ptr<http::Client> client_;
  observe::Counter& restarts_;
  const CancelToken stop_;
  FileDescriptor wake_fd_;
  std::minstd_rand random_;
  std::chrono::milliseconds back_off_;
  int failed_starts_ = 0;  // in a row

  mutable Mutex mutex_;
  CondVar changed_;
  State state_ KNAP_GUARDED_BY(mutex_) = State::kIdle;
  std::string reason_ KNAP_GUARDED_BY(mutex_);
  std::string placement_ KNAP_GUARDED_BY(mutex_);
  bool wanted_ KNAP_GUARDED_BY(mutex_) = false;
  bool stopping_ KNAP_GUARDED_BY(mutex_) = false;
  bool suspected_ KNAP_GUARDED_BY(mutex_) = false;
  pid_t pid_ KNAP_GUARDED_BY(mutex_) = 0;
  std::chrono::milliseconds load_time_ KNAP_GUARDED_BY(mutex_){0};
  Mutex join_mutex_;
  std::thread thread_ KNAP_GUARDED_BY(join_mutex_);
};

}  // namespace knap::models
