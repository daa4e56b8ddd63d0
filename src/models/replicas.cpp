#include "replicas.hpp"

#include "knap/base/assert.hpp"

namespace knap::models {
namespace {

/// Raises a count, and lowers it again unless the loan came about.
class Counted {
 public:
  explicit Counted(std::shared_ptr<std::atomic<int>> count) : count_(std::move(count)) {
    count_->fetch_add(1, std::memory_order_relaxed);
  }
  ~Counted() {
    if (count_) count_->fetch_sub(1, std::memory_order_relaxed);
  }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  std::shared_ptr<std::atomic<int>> pass_on() { return std::move(count_); }

 private:
  std::shared_ptr<std::atomic<int>> count_;
};

}  // namespace

Replicas::Replicas(std::shared_ptr<RunnerPool> pool,
                   std::vector<std::shared_ptr<RunnerPool::Slot>> slots)
    : pool_(std::move(pool)) {
  KNAP_ASSERT(!slots.empty());
  for (auto& slot : slots) places_.push_back({.slot = std::move(slot)});
}

// Two callers may choose the same one at the same moment: then it has one more than the others.
Replicas::Place& Replicas::choose() {
  if (places_.size() == 1) return places_.front();
  Place* loaded = nullptr;
  Place* absent = nullptr;
  const auto busy = [](const Place& place) { return place.busy->load(std::memory_order_relaxed); };
  for (Place& place : places_) {
    if (pool_->state(place.slot).state == "ready") {
      if (loaded == nullptr || busy(place) < busy(*loaded)) loaded = &place;
    } else if (absent == nullptr) {
      absent = &place;
    }
  }
  if (loaded == nullptr) return places_.front();
  if (absent != nullptr && busy(*loaded) > 0) pool_->want(absent->slot);
  return *loaded;
}

Result<std::shared_ptr<const Replicas::Lent>> Replicas::lend(Deadline deadline,
                                                             const CancelToken& cancel) {
  Place& place = choose();
  Counted counted(place.busy);
  KNAP_TRY(auto use, pool_->use(place.slot, deadline, cancel));
  return std::make_shared<const Lent>(std::move(use), counted.pass_on());
}

Result<std::shared_ptr<const Replicas::Lent>> Replicas::lend_loaded() {
  Place& place = places_.front();
  if (pool_->state(place.slot).state != "ready")
    return make_error(ErrorCode::kUnavailable, "the model is not loaded");
  Counted counted(place.busy);
  KNAP_TRY(auto use, pool_->use_now(place.slot));
  return std::make_shared<const Lent>(std::move(use), counted.pass_on());
}

}  // namespace knap::models
