#include "knap/service/leases.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "knap/base/assert.hpp"
#include "knap/base/mutex.hpp"

namespace knap::service {
namespace {
/// How often a waiter looks at its cancel token, which has no condition of its own.
constexpr auto kCancelPoll = std::chrono::milliseconds(20);

constexpr std::array kLanes{Lane::kInteractive, Lane::kGeneration, Lane::kBackground};

constexpr std::size_t index_of(Lane lane) { return static_cast<std::size_t>(lane); }
}  // namespace

struct ComputeLeases::Impl {
  mutable Mutex mutex;
  CondVar changed;
  std::size_t cores = 1;
  std::array<std::size_t, 3> held KNAP_GUARDED_BY(mutex){};
  std::array<std::size_t, 3> waiting KNAP_GUARDED_BY(mutex){};
  // Of the generation lane: who holds it, and how many leases share its threads.
  std::string group KNAP_GUARDED_BY(mutex);
  std::size_t sharing KNAP_GUARDED_BY(mutex) = 0;
  std::map<std::string, std::size_t, std::less<>> waiting_groups KNAP_GUARDED_BY(mutex);
  observe::Registry* metrics = nullptr;
  std::array<observe::Histogram*, 3> wait_seconds{};

  bool may_join(std::string_view name) const KNAP_REQUIRES(mutex) {
    return !name.empty() && name == group &&
           std::ranges::all_of(waiting_groups, [&](const auto& each) {
             return each.first == name || each.second == 0;
           });
  }

  bool may_start(Lane lane, std::string_view name) const KNAP_REQUIRES(mutex) {
    switch (lane) {
      case Lane::kInteractive: return true;
      case Lane::kGeneration: return sharing == 0 || may_join(name);
      case Lane::kBackground:
        return held[index_of(Lane::kInteractive)] == 0 && held[index_of(Lane::kGeneration)] == 0 &&
               waiting[index_of(Lane::kGeneration)] == 0 &&
               held[index_of(Lane::kBackground)] < cores;
    }
    return false;
  }

  // Counts the threads as held. A lease that joins a group gets that group's threads, which count
  // once.
  std::size_t grant(Lane lane, std::size_t wanted, std::string_view name) KNAP_REQUIRES(mutex) {
    std::size_t& lane_held = held[index_of(lane)];
    std::size_t threads = std::min(wanted, cores);
    if (lane == Lane::kBackground) threads = std::min(wanted, cores - lane_held);
    if (lane == Lane::kGeneration) {
      if (sharing++ > 0) return lane_held;
      group = name;
    }
    lane_held += threads;
    return threads;
  }

  void count_waiting(Lane lane, std::string_view name, int change) KNAP_REQUIRES(mutex) {
    waiting[index_of(lane)] += static_cast<std::size_t>(change);
    if (lane != Lane::kGeneration) return;
    auto found = waiting_groups.find(name);
    if (found == waiting_groups.end()) found = waiting_groups.emplace(name, 0).first;
    found->second += static_cast<std::size_t>(change);
    if (found->second == 0) waiting_groups.erase(found);
  }
};

Lease::Lease(Lease&& other) noexcept
    : owner_(std::exchange(other.owner_, nullptr)),
      lane_(other.lane_),
      threads_(std::exchange(other.threads_, 0)) {}

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    if (owner_ != nullptr) owner_->release(lane_, threads_);
    owner_ = std::exchange(other.owner_, nullptr);
    lane_ = other.lane_;
    threads_ = std::exchange(other.threads_, 0);
  }
  return *this;
}

Lease::~Lease() {
  if (owner_ != nullptr) owner_->release(lane_, threads_);
}

ComputeLeases::ComputeLeases(std::size_t cores, observe::Registry* metrics)
    : impl_(std::make_unique<Impl>()) {
  impl_->cores = std::max<std::size_t>(1, cores);
  impl_->metrics = metrics;
  if (metrics == nullptr) return;
  for (const Lane lane : kLanes) {
    impl_->wait_seconds[index_of(lane)] =
        &metrics->histogram("knap_leases_wait_seconds", "Time until compute threads were leased",
                            {{"lane", std::string(to_string(lane))}});
  }
}

ComputeLeases::~ComputeLeases() {
  const MutexLock lock(impl_->mutex);
  KNAP_ASSERT(impl_->held == (std::array<std::size_t, 3>{}));
}

Result<Lease> ComputeLeases::acquire(Lane lane, std::size_t wanted, Deadline deadline,
                                     const CancelToken& cancel, std::string_view group) {
  if (wanted == 0) return make_error(ErrorCode::kInvalidArgument, "a lease of no threads");
  const auto begin = SteadyClock::now();
  const MutexLock lock(impl_->mutex);
  impl_->count_waiting(lane, group, 1);
  Status wait;
  while (!impl_->may_start(lane, group)) {
    wait = still_wanted(cancel, deadline);
    if (!wait) break;
    impl_->changed.wait_until(impl_->mutex, deadline.earlier(Deadline::after(kCancelPoll)));
  }
  impl_->count_waiting(lane, group, -1);
  if (!wait) {
    impl_->changed.notify_all();
    return std::move(wait).error();
  }
  if (auto* seconds = impl_->wait_seconds[index_of(lane)])
    seconds->record(SteadyClock::now() - begin);
  return Lease(this, lane, impl_->grant(lane, wanted, group));
}

bool ComputeLeases::should_yield(Lane lane) const {
  const MutexLock lock(impl_->mutex);
  std::size_t above = 0;
  for (std::size_t i = 0; i < index_of(lane); ++i) above += impl_->waiting[i] + impl_->held[i];
  return above > 0;
}

ComputeLeases::Usage ComputeLeases::usage() const {
  const MutexLock lock(impl_->mutex);
  const std::array held = impl_->held;
  const std::array waiting = impl_->waiting;
  return {.cores = impl_->cores,
          .interactive = held[0],
          .generation = held[1],
          .background = held[2],
          .waiting = waiting[0] + waiting[1] + waiting[2]};
}

void ComputeLeases::refresh_metrics() const {
  if (impl_->metrics == nullptr) return;
  std::array<std::size_t, 3> held{}, waiting{};
  {
    const MutexLock lock(impl_->mutex);
    held = impl_->held;
    waiting = impl_->waiting;
  }
  for (const Lane lane : kLanes) {
    const observe::Labels labels{{"lane", std::string(to_string(lane))}};
    impl_->metrics->gauge("knap_leases_threads", "Compute threads leased", labels)
        .set(static_cast<double>(held[index_of(lane)]));
    impl_->metrics->gauge("knap_leases_waiting", "Callers that wait for compute threads", labels)
        .set(static_cast<double>(waiting[index_of(lane)]));
  }
  impl_->metrics->gauge("knap_leases_cores", "Compute threads there are")
      .set(static_cast<double>(impl_->cores));
}

void ComputeLeases::release(Lane lane, std::size_t threads) {
  {
    const MutexLock lock(impl_->mutex);
    KNAP_ASSERT(impl_->held[index_of(lane)] >= threads);
    if (lane == Lane::kGeneration && --impl_->sharing > 0) return;
    impl_->held[index_of(lane)] -= threads;
  }
  impl_->changed.notify_all();
}

}  // namespace knap::service
