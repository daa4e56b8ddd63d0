#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "knap/observe/metrics.hpp"
#include "pooled_runner.hpp"

namespace knap::models {

/// How long a model stays loaded.
enum class Keep {
  kOnDemand,  ///< Until it was not used for keep_alive, or its memory is wanted.
  kWarm,      ///< Loaded at once, and until its memory is wanted.
  kPinned     ///< Loaded at once, and for good.
};

/// What the pool must know of a model before it loads it.
struct PoolPlan {
  std::string name;
  /// What its runner is expected to take at most, in bytes.
  std::uint64_t bytes = 0;
  std::string arithmetic;  ///< How `bytes` came about, for the refusal of a too large one.
  Keep keep = Keep::kOnDemand;
  std::function<std::shared_ptr<PooledRunner>()> make;
};

/// The runners of all local models, within one budget of memory.
///
/// A model is loaded when it is first wanted. Before that, room is made: of the idle models those
/// go whose bringing back costs least for what they hold (GreedyDual-Size-Frequency: uses x load
/// time / bytes, with an age that rises at each eviction). When the idle ones do not suffice, the
/// model waits; after drain_after, busy models are drained: what runs on them ends, what is new
/// waits for its turn. Who waits for memory is served first come, first served. So each of several
/// models that do not fit together gets its turn, whatever the load on the others.
///
/// A model counts with what is expected of it or what its runner holds, whichever is more. A runner
/// that takes far more than expected leaks and is replaced.
///
/// Invariants: (1) the sum of what loaded models count with is at most the budget when a load
/// begins; (2) a use of a loaded model never waits for the loading of another; (3) no use is taken
/// away while it is held, but from a runner beyond twice its leak limit.
/// Threads: safe; one of its own decides and stops runners. Hold at most one use while waiting for
/// another: none.
class RunnerPool : public std::enable_shared_from_this<RunnerPool> {
 public:
  struct Options {
    std::uint64_t memory_bytes = 0;           ///< The budget; 0: none.
    std::chrono::milliseconds keep_alive{0};  ///< Idle for so long: unloaded. 0: never.
    std::chrono::milliseconds drain_after{2'000};
    std::chrono::milliseconds look_interval{
        500};  ///< How often memory and idle time are looked at.
  };
  class Slot;  ///< One model's place in the pool.

  /// A model that is loaded and stays so while this is held. Move only.
  class Use {
   public:
    Use() = default;
    Use(Use&& other) noexcept = default;
    Use& operator=(Use&& other) noexcept;
    ~Use();
    PooledRunner& runner() const { return *runner_; }

    /// For pools: counted already.
    Use(std::shared_ptr<RunnerPool> pool, std::shared_ptr<Slot> slot,
        std::shared_ptr<PooledRunner> runner)
        : pool_(std::move(pool)), slot_(std::move(slot)), runner_(std::move(runner)) {}

   private:
    void give_back();
    std::shared_ptr<RunnerPool> pool_;
    std::shared_ptr<Slot> slot_;
    std::shared_ptr<PooledRunner> runner_;
  };

  static std::shared_ptr<RunnerPool> create(Options options, observe::Registry& metrics);
  virtual ~RunnerPool() = default;

  /// A place for a model. Nothing is loaded yet, not even a warm one: want() does.
  virtual std::shared_ptr<Slot> add(PoolPlan plan) = 0;
  /// Its runner is stopped once nobody uses it, and its place ends: it counts nothing any more.
  virtual void retire(const std::shared_ptr<Slot>& slot) = 0;

  /// Loads the model if need be and waits until it is ready. Errors: kFailedPrecondition (too large
  /// for the budget: says the arithmetic; or it cannot be loaded), kUnavailable (deadline passed
  /// while it was loading or waiting for memory; retired; stopping), kCancelled.
  virtual Result<Use> use(const std::shared_ptr<Slot>& slot, Deadline deadline,
                          const CancelToken& cancel) = 0;
  /// Never waits: a model that is not ready begins to load, and the answer is kUnavailable.
  virtual Result<Use> use_now(const std::shared_ptr<Slot>& slot) = 0;
  /// Begins to load it, if it is not. Its failure shows in state().
  virtual void want(const std::shared_ptr<Slot>& slot) = 0;
  /// Loads it anew when it failed for good, e.g. because its files were mended.
  virtual void retry(const std::shared_ptr<Slot>& slot) = 0;
  /// Ends all runners, within about 2 s together. Uses are refused from here on.
  virtual void stop() = 0;

  struct SlotState {
    std::string state;  ///< "installed", "waiting for memory", "loading", "ready", "failed: REASON"
    std::uint64_t expected_bytes = 0;
    std::uint64_t resident_bytes = 0;  ///< 0: not loaded.
    std::string placement;             ///< PooledRunner::placement()
    std::uint64_t loads = 0;
    std::chrono::milliseconds load_time{};  ///< Measured, or guessed by its bytes.
    Keep keep = Keep::kOnDemand;
  };
  virtual SlotState state(const std::shared_ptr<Slot>& slot) const = 0;
  struct Totals {
    std::uint64_t budget_bytes = 0;   ///< 0: no budget.
    std::uint64_t counted_bytes = 0;  ///< What loaded models count with.
    std::uint64_t loaded = 0, loads = 0, evictions = 0, leaks = 0;
  };
  virtual Totals totals() const = 0;

 protected:
  RunnerPool() = default;

 private:
  virtual void give_back(Slot& slot) = 0;
};

}  // namespace knap::models
