#include "knap/ops/health.hpp"

#include <pthread.h>

#include <algorithm>
#include <deque>
#include <thread>

#include "knap/base/mutex.hpp"
#include "knap/observe/log.hpp"

namespace knap::ops {
namespace {

using std::chrono::milliseconds;

/// A check that has not been heard of for so many of its intervals fails.
constexpr int kOverdueIntervals = 3;

std::int64_t unix_ms() {
  return std::chrono::duration_cast<milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

std::string_view to_string(CheckState::State state) {
  switch (state) {
    case CheckState::State::kUnknown: return "unknown";
    case CheckState::State::kOk: return "ok";
    case CheckState::State::kFailing: return "failing";
  }
  return "unknown";
}

struct HealthMonitor::Impl {
  struct Entry {
    HealthCheck check;
    CheckState state;  // guarded by the mutex
    SteadyClock::time_point at{};
    observe::Gauge* up = nullptr;
    observe::Histogram* seconds = nullptr;
    std::thread thread;
  };

  Impl(std::vector<HealthCheck> checks, observe::Registry& metrics) {
    for (HealthCheck& check : checks) {
      Entry& entry = entries.emplace_back();
      const observe::Labels labels{{"check", check.name}};
      entry.up = &metrics.gauge("knap_health_up", "1 when the last check succeeded", labels);
      entry.seconds = &metrics.histogram("knap_health_check_seconds", "Time of a check", labels);
      entry.state.name = check.name;
      entry.state.needed = check.needed;
      entry.check = std::move(check);
    }
  }

  void run_once(Entry& entry, milliseconds timeout) KNAP_EXCLUDES(mutex) {
    const auto begin = SteadyClock::now();
    const auto result = entry.check.run(Deadline::after(timeout));
    const auto end = SteadyClock::now();
    entry.seconds->record(end - begin);
    entry.up->set(result ? 1 : 0);
    bool turned = false;
    {
      const MutexLock lock(mutex);
      CheckState& state = entry.state;
      const auto now = result ? CheckState::State::kOk : CheckState::State::kFailing;
      turned = state.state != now && state.state != CheckState::State::kUnknown;
      state.state = now;
      state.message = result ? *result : result.error().message;
      state.checked_unix_ms = unix_ms();
      state.took = std::chrono::duration_cast<std::chrono::microseconds>(end - begin);
      state.failures_in_row = result ? 0 : state.failures_in_row + 1;
      entry.at = end;
    }
    if (!turned) return;
    if (result) {
      observe::log_info("health_recovered", "a health check succeeds again",
                        {{"check", entry.check.name}});
    } else {
      observe::log_warning("health_failing", result.error().message, {{"check", entry.check.name}});
    }
  }

  void run(Entry& entry) KNAP_EXCLUDES(mutex) {
    ::pthread_setname_np(::pthread_self(), "knap-health");
    while (true) {
      run_once(entry, entry.check.timeout);
      const MutexLock lock(mutex);
      const auto until = Deadline::after(entry.check.interval);
      while (!stopping && !until.expired()) wake.wait_until(mutex, until);
      if (stopping) return;
    }
  }

  CheckState state_of(const Entry& entry) const KNAP_REQUIRES(mutex) {
    CheckState out = entry.state;
    const auto patience = entry.check.interval * kOverdueIntervals + entry.check.timeout;
    if (out.state == CheckState::State::kOk && SteadyClock::now() - entry.at > patience) {
      out.state = CheckState::State::kFailing;
      out.message = "the check has not come back for too long";
    }
    return out;
  }

  mutable Mutex mutex;
  CondVar wake;
  std::deque<Entry> entries;  // Fixed after construction; see Entry for what is guarded.
  bool stopping KNAP_GUARDED_BY(mutex) = false;
};

HealthMonitor::HealthMonitor(std::vector<HealthCheck> checks, observe::Registry& metrics)
    : impl_(std::make_unique<Impl>(std::move(checks), metrics)) {}

HealthMonitor::~HealthMonitor() { stop(); }

void HealthMonitor::start() {
  for (auto& entry : impl_->entries) {
    if (entry.check.needed) impl_->run_once(entry, entry.check.timeout);
  }
  for (auto& entry : impl_->entries)
    entry.thread = std::thread([this, &entry] { impl_->run(entry); });
}

void HealthMonitor::stop() {
  {
    const MutexLock lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_all();
  for (auto& entry : impl_->entries)
    if (entry.thread.joinable()) entry.thread.join();
}

std::vector<CheckState> HealthMonitor::states() const {
  const MutexLock lock(impl_->mutex);
  std::vector<CheckState> out;
  for (const auto& entry : impl_->entries) out.push_back(impl_->state_of(entry));
  return out;
}

bool HealthMonitor::ready(milliseconds patience) {
  const auto ok = [this](const Impl::Entry& entry) {
    const MutexLock lock(impl_->mutex);
    return impl_->state_of(entry).state == CheckState::State::kOk;
  };
  for (auto& entry : impl_->entries) {
    if (!entry.check.needed || ok(entry)) continue;
    impl_->run_once(entry, std::min(patience, entry.check.timeout));
    if (!ok(entry)) return false;
  }
  return true;
}

}  // namespace knap::ops
