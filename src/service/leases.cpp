#include "knap/service/leases.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "knap/base/assert.hpp"
#include "knap/base/mutex.hpp"

namespace knap::service {
namespace {
/// How often a waiter looks at its cancel token, which has no condition of its own.
constexpr auto kCancelPoll = std::chrono::milliseconds(20);

constexpr std::size_t index_of(Lane lane) { return static_cast<std::size_t>(lane); }
}  // namespace

struct ComputeLeases::Impl {
  mutable Mutex mutex;
  CondVar changed;
  std::size_t cores = 1;
  std::array<std::size_t, 3> held KNAP_GUARDED_BY(mutex){};
  std::array<std::size_t, 3> waiting KNAP_GUARDED_BY(mutex){};

  bool may_start(Lane lane) const KNAP_REQUIRES(mutex) {
    switch (lane) {
      case Lane::kInteractive: return true;
      case Lane::kGeneration: return held[index_of(Lane::kGeneration)] == 0;
      case Lane::kBackground:
        return held[index_of(Lane::kInteractive)] == 0 && held[index_of(Lane::kGeneration)] == 0 &&
               waiting[index_of(Lane::kGeneration)] == 0 &&
               held[index_of(Lane::kBackground)] < cores;
    }
    return false;
  }

  std::size_t grant(Lane lane, std::size_t wanted) const KNAP_REQUIRES(mutex) {
    switch (lane) {
      case Lane::kInteractive:
      case Lane::kGeneration: return std::min(wanted, cores);
      case Lane::kBackground: return std::min(wanted, cores - held[index_of(Lane::kBackground)]);
    }
    return 1;
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

ComputeLeases::ComputeLeases(std::size_t cores) : impl_(std::make_unique<Impl>()) {
  impl_->cores = std::max<std::size_t>(1, cores);
}

ComputeLeases::~ComputeLeases() {
  const MutexLock lock(impl_->mutex);
  KNAP_ASSERT(impl_->held == (std::array<std::size_t, 3>{}));
}

Result<Lease> ComputeLeases::acquire(Lane lane, std::size_t wanted, Deadline deadline,
                                     const CancelToken& cancel) {
  if (wanted == 0) return make_error(ErrorCode::kInvalidArgument, "a lease of no threads");
  const MutexLock lock(impl_->mutex);
  ++impl_->waiting[index_of(lane)];
  Status wait;
  while (!impl_->may_start(lane)) {
    wait = still_wanted(cancel, deadline);
    if (!wait) break;
    impl_->changed.wait_until(impl_->mutex, deadline.earlier(Deadline::after(kCancelPoll)));
  }
  --impl_->waiting[index_of(lane)];
  if (!wait) {
    impl_->changed.notify_all();
    return std::move(wait).error();
  }
  const std::size_t threads = impl_->grant(lane, wanted);
  impl_->held[index_of(lane)] += threads;
  return Lease(this, lane, threads);
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

void ComputeLeases::release(Lane lane, std::size_t threads) {
  {
    const MutexLock lock(impl_->mutex);
    KNAP_ASSERT(impl_->held[index_of(lane)] >= threads);
    impl_->held[index_of(lane)] -= threads;
  }
  impl_->changed.notify_all();
}

}  // namespace knap::service
