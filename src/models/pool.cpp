#include "pool.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <thread>

#include "knap/base/mutex.hpp"
#include "knap/observe/log.hpp"

namespace knap::models {

/// Guarded by the pool's mutex.
struct PoolSlotData {
  enum class Drain { kNo, kForMemory, kForGood };

  PoolPlan plan;
  std::shared_ptr<PooledRunner> runner;  // null: not loaded
  std::size_t users = 0;
  std::size_t waiting = 0;  // in use(), for its runner
  bool queued = false;
  bool prefetch = false;  // queued though nobody waits
  bool stopping = false;
  bool retired = false;
  Drain drain = Drain::kNo;
  SteadyClock::time_point queued_at, last_used;
  std::uint64_t resident = 0;
  std::uint64_t learned = 0;  // what its runners took at most, within the leak limit
  std::uint64_t uses = 0, loads = 0;
  double worth = 0;
};

class RunnerPool::Slot {
 public:
  PoolSlotData data;
};

namespace {

using Drain = PoolSlotData::Drain;

constexpr std::chrono::milliseconds kCancelStep{20};
constexpr double kGiB = 1024.0 * 1024 * 1024;
// Of a model that has not been loaded yet: what its reading from disk would take.
constexpr double kGuessedLoadBytesPerSecond = 500e6;
// Allocators keep what they had once; a runner holds more than planned by this before it leaks.
constexpr std::uint64_t kLeakSlackBytes = 256ULL << 20;

std::string gib(std::uint64_t bytes) {
  return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / kGiB);
}

class Pool final : public RunnerPool {
 public:
  Pool(Options options, observe::Registry& metrics)
      : options_(options),
        counted_gauge_(metrics.gauge("knap_models_pool_bytes",
                                     "Memory that loaded models count with in the pool")),
        loads_(metrics.counter("knap_models_pool_loads_total", "Models loaded")),
        evictions_(metrics.counter("knap_models_pool_evictions_total",
                                   "Models unloaded for the memory of others")),
        leaks_(metrics.counter("knap_models_pool_leaks_total",
                               "Runners replaced because they held far more than expected")) {
    metrics.gauge("knap_models_pool_budget_bytes", "Memory that models may take; 0: no limit")
        .set(static_cast<double>(options_.memory_bytes));
    thread_ = std::thread([this] { run(); });
  }
  ~Pool() override { Pool::stop(); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  std::shared_ptr<Slot> add(PoolPlan plan) override {
    auto slot = std::make_shared<Slot>();
    slot->data.plan = std::move(plan);
    MutexLock lock(mutex_);
    slots_.push_back(slot);
    return slot;
  }

  void retire(const std::shared_ptr<Slot>& slot) override {
    {
      MutexLock lock(mutex_);
      slot->data.retired = true;
      slot->data.drain = Drain::kForGood;
    }
    changed_.notify_all();
    work_.notify_all();
  }

  Result<Use> use(const std::shared_ptr<Slot>& slot, Deadline deadline,
                  const CancelToken& cancel) override {
    std::shared_ptr<PooledRunner> runner;
    {
      MutexLock lock(mutex_);
      KNAP_CHECK_OK(wait_loaded(*slot, slot, deadline, cancel));
      runner = take(slot->data);
    }
    Use taken(shared_from_this(), slot, runner);
    KNAP_CHECK_OK(runner->wait_ready(deadline, cancel));
    return taken;
  }

  Result<Use> use_now(const std::shared_ptr<Slot>& slot) override {
    std::shared_ptr<PooledRunner> runner;
    {
      MutexLock lock(mutex_);
      KNAP_CHECK_OK(usable(slot->data));
      if (!open(slot->data)) {
        enqueue(slot, true);
        return make_error(ErrorCode::kUnavailable,
                          fmt::format("model {} is loading; try again", slot->data.plan.name));
      }
      runner = take(slot->data);
    }
    Use taken(shared_from_this(), slot, runner);
    KNAP_CHECK_OK(runner->check_ready());
    return taken;
  }

  void want(const std::shared_ptr<Slot>& slot) override {
    MutexLock lock(mutex_);
    if (!usable(slot->data) || slot->data.runner != nullptr) return;
    enqueue(slot, true);
  }

  void retry(const std::shared_ptr<Slot>& slot) override {
    MutexLock lock(mutex_);
    PoolSlotData& data = slot->data;
    if (data.runner == nullptr || !failed(data)) return;
    data.drain = Drain::kForGood;
    enqueue(slot, true);
  }

  void stop() override {
    std::vector<std::shared_ptr<PooledRunner>> runners;
    {
      MutexLock lock(mutex_);
      stopping_ = true;
      for (const auto& slot : slots_)
        if (slot->data.runner) runners.push_back(slot->data.runner);
    }
    changed_.notify_all();
    work_.notify_all();
    for (const auto& runner : runners) runner->begin_stop();
    for (const auto& runner : runners) runner->stop();
    MutexLock lock(join_mutex_);
    if (thread_.joinable()) thread_.join();
  }

  SlotState state(const std::shared_ptr<Slot>& slot) const override {
    MutexLock lock(mutex_);
    const PoolSlotData& data = slot->data;
    SlotState out;
    out.expected_bytes = expected(data);
    out.keep = data.plan.keep;
    out.loads = data.loads;
    out.load_time = std::chrono::milliseconds(static_cast<std::int64_t>(load_seconds(data) * 1e3));
    if (data.runner) {
      out.state = data.runner->state();
      out.resident_bytes = data.runner->resident_bytes();
      out.placement = data.runner->placement();
    } else if (const auto refused = too_large(data)) {
      out.state = "failed: " + refused->message;
    } else {
      out.state = data.queued ? "waiting for memory" : "installed";
    }
    return out;
  }

  Totals totals() const override {
    MutexLock lock(mutex_);
    Totals out;
    out.budget_bytes = options_.memory_bytes;
    out.counted_bytes = counted();
    out.loads = loads_.value();
    out.evictions = evictions_.value();
    out.leaks = leaks_.value();
    for (const auto& slot : slots_) out.loaded += slot->data.runner != nullptr ? 1 : 0;
    return out;
  }

 private:
  void give_back(Slot& slot) override {
    bool awaited = false;
    {
      MutexLock lock(mutex_);
      PoolSlotData& data = slot.data;
      --data.users;
      data.last_used = SteadyClock::now();
      awaited = data.users == 0 && (data.drain != Drain::kNo || !queue_.empty());
    }
    if (awaited) work_.notify_all();
  }

  // --- what one model counts with ---------------------------------------------------------------

  static std::uint64_t leak_limit(const PoolSlotData& data) {
    return data.plan.bytes + data.plan.bytes / 2 + kLeakSlackBytes;
  }
  static std::uint64_t expected(const PoolSlotData& data) {
    return std::max(data.plan.bytes, data.learned);
  }
  static bool failed(const PoolSlotData& data) {
    return data.runner != nullptr && data.runner->state().starts_with("failed");
  }
  static std::uint64_t counts_with(const PoolSlotData& data) {
    if (data.runner == nullptr || (failed(data) && data.resident == 0)) return 0;
    return std::max(expected(data), data.resident);
  }
  static double load_seconds(const PoolSlotData& data) {
    const auto measured = data.runner ? data.runner->load_time() : std::chrono::milliseconds(0);
    if (measured.count() > 0) return static_cast<double>(measured.count()) / 1e3;
    return static_cast<double>(data.plan.bytes) / kGuessedLoadBytesPerSecond;
  }
  std::uint64_t counted() const KNAP_REQUIRES(mutex_) {
    std::uint64_t sum = 0;
    for (const auto& slot : slots_) sum += counts_with(slot->data);
    return sum;
  }

  std::optional<Error> too_large(const PoolSlotData& data) const KNAP_REQUIRES(mutex_) {
    if (options_.memory_bytes == 0) return std::nullopt;
    std::uint64_t pinned = 0;
    for (const auto& slot : slots_) {
      if (&slot->data != &data && slot->data.plan.keep == Keep::kPinned && !slot->data.retired)
        pinned += std::max(expected(slot->data), counts_with(slot->data));
    }
    if (expected(data) + pinned <= options_.memory_bytes) return std::nullopt;
    std::string message = fmt::format("model {} needs {}", data.plan.name, gib(expected(data)));
    if (expected(data) > data.plan.bytes) {
      message += " as measured here";
    } else if (!data.plan.arithmetic.empty()) {
      message += fmt::format(" ({})", data.plan.arithmetic);
    }
    message += fmt::format(", and models.memory_bytes allows {}", gib(options_.memory_bytes));
    if (pinned > 0) message += fmt::format(", of which pinned models hold {}", gib(pinned));
    message += ": raise it, or choose a smaller model";
    return make_error(ErrorCode::kFailedPrecondition, std::move(message));
  }

  // --- uses -------------------------------------------------------------------------------------

  static bool open(const PoolSlotData& data) {
    return data.runner != nullptr && !data.stopping && data.drain == Drain::kNo;
  }

  Status usable(const PoolSlotData& data) const KNAP_REQUIRES(mutex_) {
    if (stopping_ || data.retired)
      return make_error(ErrorCode::kUnavailable,
                        fmt::format("model {} is being stopped", data.plan.name));
    if (data.runner == nullptr)
      if (auto refused = too_large(data)) return *std::move(refused);
    return {};
  }

  Status wait_loaded(Slot& place, const std::shared_ptr<Slot>& slot, Deadline deadline,
                     const CancelToken& cancel) KNAP_REQUIRES(mutex_) {
    PoolSlotData& data = place.data;
    Status refused = usable(data);
    ++data.waiting;
    while (refused && !open(data)) {
      enqueue(slot, false);
      if (cancel.cancelled()) {
        refused = make_error(ErrorCode::kCancelled, "the caller has gone");
      } else if (deadline.expired()) {
        refused = make_error(
            ErrorCode::kUnavailable,
            fmt::format("model {} waits for memory: {} of the {} that models.memory_bytes allows "
                        "are taken by others; try again",
                        data.plan.name, gib(counted()), gib(options_.memory_bytes)));
      } else {
        changed_.wait_until(mutex_, deadline.earlier(Deadline::after(kCancelStep)));
        refused = usable(data);
      }
    }
    --data.waiting;
    return refused;
  }

  std::shared_ptr<PooledRunner> take(PoolSlotData& data) KNAP_REQUIRES(mutex_) {
    ++data.users;
    ++data.uses;
    data.last_used = SteadyClock::now();
    data.worth =
        age_ + static_cast<double>(data.uses) * load_seconds(data) /
                   (static_cast<double>(std::max<std::uint64_t>(1, counts_with(data))) / kGiB);
    return data.runner;
  }

  void enqueue(const std::shared_ptr<Slot>& slot, bool prefetch) KNAP_REQUIRES(mutex_) {
    PoolSlotData& data = slot->data;
    data.prefetch = data.prefetch || prefetch;
    if (data.queued) return;
    data.queued = true;
    data.queued_at = SteadyClock::now();
    queue_.push_back(slot);
    work_.notify_all();
  }

  // --- the pool's own thread --------------------------------------------------------------------

  void run() {
    MutexLock lock(mutex_);
    SteadyClock::time_point next_look = SteadyClock::now();
    while (!stopping_) {
      if (SteadyClock::now() >= next_look) {
        look();
        next_look = SteadyClock::now() + options_.look_interval;
      }
      stop_drained();
      while (!stopping_ && serve_head()) {
      }
      if (stopping_) break;
      counted_gauge_.set(static_cast<double>(counted()));
      const auto step =
          queue_.empty() ? next_look : std::min(next_look, SteadyClock::now() + kCancelStep);
      work_.wait_until(mutex_, Deadline::at(step));
    }
  }

  std::vector<std::shared_ptr<Slot>> copy_of_slots() const KNAP_REQUIRES(mutex_) { return slots_; }

  /// Stops its runner with the mutex released.
  void stop_runner(Slot& slot) KNAP_REQUIRES(mutex_) {
    PoolSlotData& data = slot.data;
    if (data.runner == nullptr || data.stopping) return;
    data.stopping = true;
    const auto runner = data.runner;
    mutex_.unlock();
    runner->stop();
    mutex_.lock();
    data.runner = nullptr;
    data.stopping = false;
    data.resident = 0;
    if (!data.retired) data.drain = Drain::kNo;
    changed_.notify_all();
  }

  void look() KNAP_REQUIRES(mutex_) {
    for (const auto& slot : copy_of_slots()) {
      PoolSlotData& data = slot->data;
      if (data.runner == nullptr) continue;
      data.resident = data.runner->resident_bytes();
      const std::uint64_t limit = leak_limit(data);
      data.learned = std::max(data.learned, std::min(data.resident, limit));
      if (data.resident > limit && data.plan.bytes > 0) {
        replace_leaking(*slot, limit);
      } else if (options_.keep_alive.count() > 0 && data.plan.keep == Keep::kOnDemand &&
                 data.users == 0 && data.waiting == 0 &&
                 SteadyClock::now() - data.last_used > options_.keep_alive) {
        observe::log_info("model_unloaded", "not used for long", {{"model", data.plan.name}});
        stop_runner(*slot);
      }
    }
    if (options_.memory_bytes > 0 && counted() > options_.memory_bytes) come_back_to_budget();
  }

  void replace_leaking(Slot& slot, std::uint64_t limit) KNAP_REQUIRES(mutex_) {
    PoolSlotData& data = slot.data;
    if (data.drain != Drain::kForGood) {
      leaks_.add();
      observe::log_warning("runner_leaks", "it holds far more memory than expected: it is replaced",
                           {{"model", data.plan.name},
                            {"resident_bytes", static_cast<std::int64_t>(data.resident)},
                            {"limit_bytes", static_cast<std::int64_t>(limit)}});
      data.drain = Drain::kForGood;
    }
    // Answers in progress may end, unless memory ends before them.
    if (data.resident > 2 * limit) stop_runner(slot);
  }

  /// Models turned out larger than expected.
  void come_back_to_budget() KNAP_REQUIRES(mutex_) {
    while (counted() > options_.memory_bytes) {
      const auto victim = least_worth([](const PoolSlotData& data) { return idle(data); });
      if (victim == nullptr) break;
      evict(*victim);
    }
    if (counted() <= options_.memory_bytes) return;
    const auto victim = least_worth([](const PoolSlotData& data) { return movable(data); });
    if (victim != nullptr) victim->data.drain = Drain::kForMemory;
  }

  void stop_drained() KNAP_REQUIRES(mutex_) {
    for (const auto& slot : copy_of_slots()) {
      PoolSlotData& data = slot->data;
      if (data.drain == Drain::kForGood && data.users == 0) {
        stop_runner(*slot);
        if (data.plan.keep != Keep::kOnDemand && !data.retired) enqueue(slot, true);
      }
      if (data.retired && data.runner == nullptr) std::erase(slots_, slot);
    }
    // Nobody wants the memory any more.
    if (queue_.empty() && (options_.memory_bytes == 0 || counted() <= options_.memory_bytes)) {
      for (const auto& slot : slots_) {
        if (slot->data.drain != Drain::kForMemory) continue;
        slot->data.drain = Drain::kNo;
        changed_.notify_all();
      }
    }
  }

  static bool movable(const PoolSlotData& data) {
    return data.runner != nullptr && !data.stopping && data.plan.keep != Keep::kPinned &&
           counts_with(data) > 0 && data.drain != Drain::kForGood;
  }
  // One that loads is wanted by somebody, who may be about to ask again.
  static bool idle(const PoolSlotData& data) {
    if (!movable(data) || data.users > 0) return false;
    if (data.drain == Drain::kForMemory) return true;
    return data.waiting == 0 && data.runner->state() != "loading";
  }

  template <typename Condition>
  std::shared_ptr<Slot> least_worth(const Condition& condition) const KNAP_REQUIRES(mutex_) {
    std::shared_ptr<Slot> best;
    const auto rank = [](const PoolSlotData& data) {
      return data.drain == Drain::kForMemory ? -1.0 : data.worth;
    };
    for (const auto& slot : slots_) {
      if (condition(slot->data) && (!best || rank(slot->data) < rank(best->data))) best = slot;
    }
    return best;
  }

  void evict(Slot& slot) KNAP_REQUIRES(mutex_) {
    age_ = std::max(age_, slot.data.worth);
    evictions_.add();
    observe::log_info("model_evicted", "its memory is wanted",
                      {{"model", slot.data.plan.name},
                       {"bytes", static_cast<std::int64_t>(counts_with(slot.data))}});
    stop_runner(slot);
  }

  void pop_head() KNAP_REQUIRES(mutex_) {
    PoolSlotData& data = queue_.front()->data;
    data.queued = data.prefetch = false;
    queue_.pop_front();
    changed_.notify_all();
  }

  /// Loads the first in the queue, or makes room for it. False: nothing can be done now.
  bool serve_head() KNAP_REQUIRES(mutex_) {
    if (queue_.empty()) return false;
    const std::shared_ptr<Slot> head = queue_.front();
    PoolSlotData& data = head->data;
    const bool unwanted = data.waiting == 0 && !data.prefetch;
    if (unwanted || open(data) || !usable(data)) {
      pop_head();
      return true;
    }
    if (data.runner != nullptr) {
      if (data.drain != Drain::kForMemory) return false;  // loaded anew when that one has ended
      data.drain = Drain::kNo;  // whoever wanted its memory is served or has gone
      pop_head();
      return true;
    }
    const std::uint64_t needed = expected(data);
    if (options_.memory_bytes == 0 || counted() + needed <= options_.memory_bytes) {
      load(data);
      pop_head();
      return true;
    }
    const std::uint64_t missing = counted() + needed - options_.memory_bytes;
    if (missing <= sum_if([](const PoolSlotData& each) { return idle(each); })) {
      evict(*least_worth([](const PoolSlotData& each) { return idle(each); }));
      return true;
    }
    // Loading is to take a third of the time at most, whoever takes turns.
    const auto patience = std::max<SteadyClock::duration>(
        options_.drain_after,
        std::chrono::milliseconds(static_cast<std::int64_t>(load_seconds(data) * 2e3)));
    if (SteadyClock::now() - data.queued_at >= patience) drain_until(missing);
    return false;
  }

  template <typename Condition>
  std::uint64_t sum_if(const Condition& condition) const KNAP_REQUIRES(mutex_) {
    std::uint64_t sum = 0;
    for (const auto& slot : slots_)
      if (condition(slot->data)) sum += counts_with(slot->data);
    return sum;
  }

  /// Lets no new uses on to models of least worth whose memory, when they have ended, suffices.
  void drain_until(std::uint64_t missing) KNAP_REQUIRES(mutex_) {
    const auto draining = [](const PoolSlotData& data) {
      return data.drain == Drain::kForMemory || (data.drain == Drain::kForGood && data.runner);
    };
    while (sum_if([&](const PoolSlotData& each) { return draining(each) || idle(each); }) <
           missing) {
      const auto victim = least_worth([&](const PoolSlotData& each) {
        return movable(each) && !draining(each) && !idle(each);
      });
      if (victim == nullptr) return;
      victim->data.drain = Drain::kForMemory;
    }
  }

  void load(PoolSlotData& data) KNAP_REQUIRES(mutex_) {
    data.runner = data.plan.make();
    data.uses = 0;
    data.worth = age_;
    ++data.loads;
    data.last_used = SteadyClock::now();
    loads_.add();
    data.runner->start();
  }

  const Options options_;
  observe::Gauge& counted_gauge_;
  observe::Counter& loads_;
  observe::Counter& evictions_;
  observe::Counter& leaks_;

  mutable Mutex mutex_;
  CondVar changed_;  // a model was loaded, or cannot be
  CondVar work_;     // for the pool's thread
  std::vector<std::shared_ptr<Slot>> slots_ KNAP_GUARDED_BY(mutex_);
  std::deque<std::shared_ptr<Slot>> queue_ KNAP_GUARDED_BY(mutex_);  // each slot once
  double age_ KNAP_GUARDED_BY(mutex_) = 0;
  bool stopping_ KNAP_GUARDED_BY(mutex_) = false;
  Mutex join_mutex_;
  std::thread thread_ KNAP_GUARDED_BY(join_mutex_);
};

}  // namespace

RunnerPool::Use& RunnerPool::Use::operator=(Use&& other) noexcept {
  if (this != &other) {
    give_back();
    pool_ = std::move(other.pool_);
    slot_ = std::move(other.slot_);
    runner_ = std::move(other.runner_);
  }
  return *this;
}

RunnerPool::Use::~Use() { give_back(); }

void RunnerPool::Use::give_back() {
  if (pool_ != nullptr) pool_->give_back(*slot_);
  pool_ = nullptr;
}

std::shared_ptr<RunnerPool> RunnerPool::create(Options options, observe::Registry& metrics) {
  return std::make_shared<Pool>(options, metrics);
}

}  // namespace knap::models
