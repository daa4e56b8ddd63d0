#include "knap/service/work_pool.hpp"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <deque>
#include <thread>
#include <vector>

#include "knap/base/assert.hpp"
#include "knap/base/mutex.hpp"
#include "knap/service/adaptive_limit.hpp"
#include "knap/service/retry_planner.hpp"

namespace knap::service {
namespace {

using Seconds = std::chrono::duration<double>;

/// Weight of the newest in the moving averages: the last twenty or so count.
constexpr double kNewest = .1;
/// Without levels everything waits here.
constexpr std::size_t kQueueWithoutLevels = 100'000;
constexpr std::chrono::seconds kRateWindow{1};

constexpr std::size_t index_of(WorkLane lane) { return static_cast<std::size_t>(lane); }

/// A moving average of durations; unknown before the first.
class Pace {
 public:
  void learn(SteadyClock::duration took) {
    const double seconds = Seconds(took).count();
    seconds_ = known_ ? seconds_ + kNewest * (seconds - seconds_) : seconds;
    known_ = true;
  }
  double seconds() const { return seconds_; }

 private:
  double seconds_ = 0;
  bool known_ = false;
};

AdaptiveLimit::Options limit_options(const WorkPool::LaneOptions& options) {
  AdaptiveLimit::Options out;
  out.least = options.running + 1;
  out.most = std::max(out.least, options.waiting);
  out.target = options.target;
  return out;
}

}  // namespace

namespace {

/// Where the system does not allow it, the thread goes where it is sent: pinning is a wish.
void pin_this_thread(std::size_t number) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (::sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
  const auto cores = static_cast<std::size_t>(CPU_COUNT(&allowed));
  if (cores == 0) return;
  std::size_t wanted = number % cores;
  for (std::size_t core = 0; core < CPU_SETSIZE; ++core) {
    if (!CPU_ISSET(core, &allowed) || wanted-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    static_cast<void>(::pthread_setaffinity_np(::pthread_self(), sizeof(one), &one));
    return;
  }
}

}  // namespace

struct WorkPool::Impl {
  struct Waiting {
    Work work;
    SteadyClock::time_point since;
  };
  struct Lane {
    explicit Lane(const LaneOptions& from) : options(from), limit(limit_options(from)) {}
    const LaneOptions options;
    AdaptiveLimit limit;
    std::deque<Waiting> queue;
    std::size_t running = 0;
    Pace held, served;        // by a thread; until the caller had what counts
    double virtual_time = 0;  // threads' seconds by weight: the least goes first
    observe::Gauge* waiting_gauge = nullptr;
    observe::Histogram* wait_seconds = nullptr;
    std::array<observe::Counter*, 2> refused{};
    observe::Counter* dropped = nullptr;
    observe::Gauge* limit_gauge = nullptr;
  };

  Impl(Options from, observe::Registry& metrics) : options(std::move(from)) {
    for (const WorkLane lane : kWorkLanes) {
      lanes.emplace_back(options.lanes[index_of(lane)]);
      make_series(lanes.back(), lane, metrics);
    }
  }

  void make_series(Lane& lane, WorkLane name, observe::Registry& metrics) const {
    const observe::Labels labels{{"pool", options.name}, {"lane", std::string(to_string(name))}};
    const auto with = [&](std::string_view reason) {
      observe::Labels out = labels;
      out.emplace_back("reason", reason);
      return out;
    };
    lane.waiting_gauge = &metrics.gauge("knap_work_waiting", "Requests that wait", labels);
    lane.limit_gauge =
        &metrics.gauge("knap_work_waiting_limit", "Requests that may wait, as learnt", labels);
    lane.wait_seconds =
        &metrics.histogram("knap_work_wait_seconds", "Time that requests waited", labels);
    constexpr std::string_view kHelp = "Requests refused at the door or dropped while they waited";
    lane.refused[0] = &metrics.counter("knap_work_refused_total", kHelp, with("full"));
    lane.refused[1] = &metrics.counter("knap_work_refused_total", kHelp, with("late"));
    lane.dropped = &metrics.counter("knap_work_refused_total", kHelp, with("dropped"));
  }

  bool levels() const { return options.levels == Levels::kOn; }

  Lane& lane_of(WorkLane lane) KNAP_REQUIRES(mutex) {
    return lanes[levels() ? index_of(lane) : index_of(WorkLane::kSearch)];
  }

  std::size_t slots(const Lane& lane) const {
    return std::max<std::size_t>(
        1, levels() ? std::min(lane.options.running, options.threads) : options.threads);
  }

  /// What stands before a newcomer of `lane`, in seconds: its own lane's queue, and the share of
  /// the threads that other lanes take by their weights.
  double predicted_wait(const Lane& lane) KNAP_REQUIRES(mutex) {
    std::size_t busy = 0;
    double weights = lane.options.weight;
    for (const Lane& other : lanes) {
      // What waits where threads are free is about to be taken: each of it takes one of them.
      busy += std::min(other.running + other.queue.size(), std::max(slots(other), other.running));
      if (&other != &lane && !other.queue.empty()) weights += other.options.weight;
    }
    const bool free = busy < options.threads && lane.running + lane.queue.size() < slots(lane);
    if (free) return 0;
    const double share = lane.options.weight / weights;
    const double parallel = std::clamp(share * static_cast<double>(options.threads), .1,
                                       static_cast<double>(slots(lane)));
    const auto ahead = static_cast<double>(lane.queue.size() + 1);
    return ahead * lane.held.seconds() / parallel;
  }

  /// In requests a second, of the last whole window.
  double throughput() const KNAP_REQUIRES(mutex) { return rate; }

  void count_done(SteadyClock::time_point now) KNAP_REQUIRES(mutex) {
    ++done_in_window;
    if (now < window_end) return;
    const double seconds = Seconds(now - window_end + kRateWindow).count();
    rate = static_cast<double>(done_in_window) / seconds;
    done_in_window = 0;
    window_end = now + kRateWindow;
  }

  std::optional<Refusal> admit(Lane& lane, const Work& work, SteadyClock::time_point now)
      KNAP_REQUIRES(mutex) {
    if (!levels()) {
      if (lane.queue.size() < kQueueWithoutLevels) return std::nullopt;
      lane.refused[0]->add();
      return Refusal{Refusal::Reason::kFull, std::chrono::seconds(1), {}};
    }
    if (!lane.queue.empty()) lane.limit.waited(now - lane.queue.front().since, now);
    lane.limit_gauge->set(static_cast<double>(lane.limit.limit()));
    if (lane.queue.size() >= std::min(lane.limit.limit(), lane.options.waiting)) {
      lane.refused[0]->add();
      return Refusal{Refusal::Reason::kFull, retry.next(throughput(), now), {}};
    }
    const double wait = predicted_wait(lane);
    const Deadline by = work.promised.value_or(work.deadline);
    if (wait == 0 || by.is_never()) return std::nullopt;
    const Seconds needed(wait + lane.served.seconds());
    if (now + std::chrono::duration_cast<SteadyClock::duration>(needed) <= by.point())
      return std::nullopt;
    lane.refused[1]->add();
    return Refusal{Refusal::Reason::kLate, retry.next(throughput(), now),
                   std::chrono::duration_cast<std::chrono::milliseconds>(needed)};
  }

  /// The lane whose turn it is; null when nobody may be let in.
  Lane* choose() KNAP_REQUIRES(mutex) {
    Lane* best = nullptr;
    for (Lane& lane : lanes) {
      if (lane.queue.empty() || lane.running >= slots(lane)) continue;
      if (best == nullptr || lane.virtual_time < best->virtual_time) best = &lane;
    }
    return best;
  }

  /// A lane that was idle must not have saved up time.
  void wake_lane(Lane& lane) KNAP_REQUIRES(mutex) {
    if (!lane.queue.empty() || lane.running > 0) return;
    double least = -1;
    for (const Lane& other : lanes) {
      if (&other == &lane || (other.queue.empty() && other.running == 0)) continue;
      if (least < 0 || other.virtual_time < least) least = other.virtual_time;
    }
    if (least >= 0) lane.virtual_time = std::max(lane.virtual_time, least);
  }

  static Waiting take(Lane& lane, bool newest_first) {
    Waiting out;
    if (newest_first) {
      out = std::move(lane.queue.back());
      lane.queue.pop_back();
    } else {
      out = std::move(lane.queue.front());
      lane.queue.pop_front();
    }
    lane.waiting_gauge->set(static_cast<double>(lane.queue.size()));
    return out;
  }

  bool newest_first(const Lane& lane) const {
    return levels() && options.order == Order::kNewestFirst && lane.limit.overloaded();
  }

  /// Takes what is late out of the queue's old end; to be dropped without the lock.
  std::vector<Waiting> sweep(Lane& lane) const KNAP_REQUIRES(mutex) {
    std::vector<Waiting> out;
    while (levels() && !lane.queue.empty()) {
      const Work& oldest = lane.queue.front().work;
      if (!oldest.deadline.expired() && !oldest.cancel.cancelled()) break;
      out.push_back(take(lane, false));
      lane.dropped->add();
    }
    return out;
  }

  void run_one(Lane& lane, Waiting next) KNAP_EXCLUDES(mutex) {
    const auto begin = SteadyClock::now();
    lane.wait_seconds->record(begin - next.since);
    next.work.run();
    const auto end = SteadyClock::now();
    const MutexLock lock(mutex);
    --lane.running;
    lane.held.learn(end - begin);
    lane.virtual_time += Seconds(end - begin).count() / lane.options.weight;
    count_done(end);
  }

  void run(std::size_t number) KNAP_EXCLUDES(mutex) {
    if (options.pinning == Pinning::kOn) pin_this_thread(number);
    ::pthread_setname_np(::pthread_self(), options.name.substr(0, 15).c_str());
    while (true) {
      std::vector<Waiting> late;
      Lane* lane = nullptr;
      Waiting next;
      {
        const MutexLock lock(mutex);
        while ((lane = choose()) == nullptr && !stopping) wake.wait(mutex);
        if (lane == nullptr) return;
        late = sweep(*lane);
        if (!lane->queue.empty()) {
          const auto now = SteadyClock::now();
          next = take(*lane, newest_first(*lane));
          lane->limit.waited(now - next.since, now);
          ++lane->running;
        }
      }
      for (Waiting& each : late) each.work.drop();
      if (next.work.run) run_one(*lane, std::move(next));
      // A lane that had all its threads has one again.
      wake.notify_one();
    }
  }

  const Options options;
  mutable Mutex mutex;
  CondVar wake;
  std::deque<Lane> lanes KNAP_GUARDED_BY(mutex);
  RetryPlanner retry KNAP_GUARDED_BY(mutex);
  double rate KNAP_GUARDED_BY(mutex) = 0;
  std::size_t done_in_window KNAP_GUARDED_BY(mutex) = 0;
  SteadyClock::time_point window_end KNAP_GUARDED_BY(mutex) = SteadyClock::now() + kRateWindow;
  bool stopping KNAP_GUARDED_BY(mutex) = false;
  std::vector<std::thread> threads;
};

WorkPool::WorkPool(Options options, observe::Registry& metrics)
    : impl_(std::make_unique<Impl>(std::move(options), metrics)) {
  KNAP_ASSERT(impl_->options.threads >= 1);
  for (std::size_t i = 0; i < impl_->options.threads; ++i)
    impl_->threads.emplace_back([this, i] { impl_->run(i); });
}

WorkPool::~WorkPool() {
  {
    const MutexLock lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_all();
  for (auto& thread : impl_->threads) thread.join();
}

std::optional<Refusal> WorkPool::submit(Work work) {
  {
    const auto now = SteadyClock::now();
    const MutexLock lock(impl_->mutex);
    Impl::Lane& lane = impl_->lane_of(work.lane);
    if (impl_->stopping) return Refusal{};
    if (auto refusal = impl_->admit(lane, work, now)) return refusal;
    impl_->wake_lane(lane);
    lane.queue.push_back({std::move(work), now});
    lane.waiting_gauge->set(static_cast<double>(lane.queue.size()));
  }
  impl_->wake.notify_one();
  return std::nullopt;
}

void WorkPool::served(WorkLane lane, SteadyClock::duration took) {
  const MutexLock lock(impl_->mutex);
  impl_->lane_of(lane).served.learn(took);
}

WorkPool::LaneState WorkPool::state(WorkLane name) const {
  const MutexLock lock(impl_->mutex);
  const Impl::Lane& lane = impl_->lane_of(name);
  return {lane.queue.size(), lane.running, lane.limit.limit(), lane.limit.overloaded(),
          std::chrono::duration_cast<std::chrono::microseconds>(Seconds(lane.held.seconds()))};
}

}  // namespace knap::service
