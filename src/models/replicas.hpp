#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "pool.hpp"

namespace knap::models {

/// The runners of one answer model: one, or several that answer side by side, each in a place of
/// its own in the pool. A request goes to the loaded one with the fewest requests, the first of
/// equals. While all loaded ones are busy the next one begins to load, and nobody waits for it.
/// Threads: safe.
class Replicas {
 public:
  /// @param slots  at least one
  Replicas(std::shared_ptr<RunnerPool> pool, std::vector<std::shared_ptr<RunnerPool::Slot>> slots);

  /// A runner that is loaded and counted as busy while this lives.
  class Lent {
   public:
    Lent(RunnerPool::Use use, std::shared_ptr<std::atomic<int>> count)
        : use_(std::move(use)), count_(std::move(count)) {}
    ~Lent() { count_->fetch_sub(1, std::memory_order_relaxed); }
    Lent(const Lent&) = delete;
    Lent& operator=(const Lent&) = delete;
    PooledRunner& runner() const { return use_.runner(); }

   private:
    RunnerPool::Use use_;
    std::shared_ptr<std::atomic<int>> count_;  // already raised
  };

  /// Errors: those of RunnerPool::use().
  Result<std::shared_ptr<const Lent>> lend(Deadline deadline, const CancelToken& cancel);
  /// The first one, where it is loaded, which reads ahead for all. Never waits and loads nothing.
  /// Errors: kUnavailable.
  Result<std::shared_ptr<const Lent>> lend_loaded();
  std::size_t size() const { return places_.size(); }

 private:
  struct Place {
    std::shared_ptr<RunnerPool::Slot> slot;
    std::shared_ptr<std::atomic<int>> busy = std::make_shared<std::atomic<int>>(0);
  };
  Place& choose();

  const std::shared_ptr<RunnerPool> pool_;
  std::vector<Place> places_;
};

}  // namespace knap::models
