#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json.hpp>

#include "event_stream.hpp"
#include "knap/base/mutex.hpp"
#include "knap/base/thread_pool.hpp"
#include "knap/index/service.hpp"

namespace knap::api {

/// Long work that a caller starts and then watches. One of each pool runs at a time; the last
/// kMaxKept are remembered. Threads: safe. Destruction cancels what runs and joins.
class Jobs {
 public:
  static constexpr std::size_t kMaxWaiting = 16;
  static constexpr std::size_t kMaxKept = 100;
  static constexpr std::size_t kMaxWatchers = 32;  ///< Of one job.

  Jobs();
  ~Jobs();

  using OnProgress = std::function<void(const index::Progress&)>;
  using Work = std::function<Status(const CancelToken&, const OnProgress&)>;
  /// Whether two works of a kind are the same work.
  enum class Same { kOne, kAnother };
  /// Queues work. The same work that still waits is not queued twice: its id is returned.
  /// Errors: kResourceExhausted (too many wait), kUnavailable (stopping).
  /// @param pool  kLong: hours, which nothing else should have to wait for.
  enum class Pool { kUsual, kLong };
  Result<std::string> start(std::string_view kind, Work work, Same same = Same::kOne,
                            Pool pool = Pool::kUsual);

  boost::json::array list() const;  ///< Newest first.
  std::optional<boost::json::object> get(std::string_view id) const;
  /// Asks a job to stop; ended ones stay as they are. False: no such job.
  bool cancel(std::string_view id);
  /// Sends "progress" events and one "done" at the end. Errors: kNotFound, kResourceExhausted.
  Status watch(std::string_view id, const std::shared_ptr<EventStream>& stream);
  /// Cancels all and ends their streams; start() refuses from now on.
  void stop();

 private:
  struct Job;
  static boost::json::object describe(const Job& job);
  std::shared_ptr<Job> find(std::string_view id) const KNAP_REQUIRES(mutex_);
  void run(const std::shared_ptr<Job>& job, const Work& work);
  void report(const std::shared_ptr<Job>& job, const index::Progress& progress);
  void conclude(const std::shared_ptr<Job>& job, const Status& status);

  mutable Mutex mutex_;
  std::deque<std::shared_ptr<Job>> jobs_ KNAP_GUARDED_BY(mutex_);
  std::uint64_t next_id_ KNAP_GUARDED_BY(mutex_) = 1;
  bool stopping_ KNAP_GUARDED_BY(mutex_) = false;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<ThreadPool> long_pool_;
};

}  // namespace knap::api
