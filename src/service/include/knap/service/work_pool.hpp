#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "knap/base/deadline.hpp"
#include "knap/observe/metrics.hpp"

namespace knap::service {

/// Which requests go first: somebody waits at the screen; a search, or a step of something larger;
/// nobody waits.
enum class WorkLane { kInteractive, kSearch, kBackground };
inline constexpr std::array kWorkLanes{WorkLane::kInteractive, WorkLane::kSearch,
                                       WorkLane::kBackground};

/// Also the metrics label.
constexpr std::string_view to_string(WorkLane lane) {
  switch (lane) {
    case WorkLane::kInteractive: return "interactive";
    case WorkLane::kSearch: return "search";
    case WorkLane::kBackground: return "background";
  }
  return "background";
}

/// Why a request was not taken, and when to come again.
struct Refusal {
  enum class Reason {
    kFull,  ///< As many wait as can be served in time.
    kLate,  ///< By the time others take, it would be late.
  } reason = Reason::kFull;
  std::chrono::seconds retry_after{1};
  std::chrono::milliseconds predicted{};  ///< Wait and work, when kLate.
};

/// Threads for requests, with lanes.
///
/// A lane gets time of the threads by its weight while others wait too; none starves. Requests are
/// taken while they can be served in time, by how long others took, and while their lane's queue is
/// no standing one (AdaptiveLimit); else they are refused at once. In a standing queue the newest
/// goes first (Order). A request whose deadline has passed while it waited is dropped instead of
/// run.
///
/// Threads: all methods are safe. Destruction runs or drops what waits, then joins.
class WorkPool {
 public:
  struct LaneOptions {
    double weight = 1;                      ///< Share of the threads' time among lanes that wait.
    std::size_t running = 1;                ///< Threads it may hold at once.
    std::size_t waiting = 256;              ///< Requests that may wait, at most.
    std::chrono::milliseconds target{100};  ///< See AdaptiveLimit.
  };
  /// kOff: one queue, first come first served, nothing refused but by `waiting`; to compare with.
  enum class Levels { kOn, kOff };
  /// kOn: each thread stays on one of the cores that the process may use, in turn.
  enum class Pinning { kOff, kOn };
  /// Who goes first in a lane whose queue stands. kNewestFirst: some are served in good time, and
  /// the others were late anyhow. kOldestFirst: whoever was taken has his turn; for work that is
  /// worth having long after its level's limit.
  enum class Order { kNewestFirst, kOldestFirst };
  struct Options {
    std::string name;  ///< Of the threads, at most 15 bytes, and the metrics label "pool".
    std::size_t threads = 1;
    std::array<LaneOptions, 3> lanes;
    Levels levels = Levels::kOn;
    Pinning pinning = Pinning::kOff;
    Order order = Order::kNewestFirst;
  };
  WorkPool(Options options, observe::Registry& metrics);
  ~WorkPool();
  WorkPool(const WorkPool&) = delete;
  WorkPool& operator=(const WorkPool&) = delete;

  struct Work {
    WorkLane lane = WorkLane::kSearch;
    Deadline deadline = Deadline::never();  ///< To begin by: dropped after it.
    CancelToken cancel;
    std::function<void()> run;   ///< Must not throw.
    std::function<void()> drop;  ///< In place of run: late, or nobody waits any more.
    /// Taken only when by prediction it is served by then. Without one: by its deadline.
    std::optional<Deadline> promised;
  };
  /// Queues work, or says why not. Never blocks.
  std::optional<Refusal> submit(Work work);

  /// Tells that work was served after so long, where that is sooner than its end (an answer whose
  /// quotes were sent): predictions go by it.
  void served(WorkLane lane, SteadyClock::duration took);

  struct LaneState {
    std::size_t waiting = 0, running = 0, limit = 0;
    bool overloaded = false;
    std::chrono::microseconds usual{};  ///< What one request takes.
  };
  LaneState state(WorkLane lane) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace knap::service
