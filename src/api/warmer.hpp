#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/mutex.hpp"
#include "knap/cache/kind.hpp"
#include "knap/observe/metrics.hpp"

namespace knap::api {

/// Keeps the cache warm: remembers the questions whose results saved most, and has them worked out
/// again in the background after a start, an edit or a change of model, and before they expire.
///
/// It works on one thread of its own, one question after the other, and waits as long as people
/// ask. The questions survive a restart in a file beside the cache.
/// Threads: safe.
class Warmer {
 public:
  struct Options {
    std::uint32_t questions = 50;  ///< That are kept warm; 0: none.
    std::filesystem::path file;    ///< Empty: they are forgotten at the end.
  };
  /// What the source of the cache is asked for.
  struct Work {
    /// Names what all questions depend on; nothing while it changes.
    std::function<std::optional<std::string>()> content;
    /// Works a question out and keeps the result. With kIfMissing true: it was missing.
    enum class Need { kIfMissing, kAnyway };
    std::function<bool(cache::Kind kind, const std::string& body, Need need)> make;
  };
  Warmer(Options options, Work work, observe::Registry& metrics);
  ~Warmer();
  /// Ends the thread and writes the questions; what is called later has no effect.
  void stop() KNAP_EXCLUDES(mutex_);
  Warmer(const Warmer&) = delete;
  Warmer& operator=(const Warmer&) = delete;

  /// A question was asked. Microseconds.
  /// @param name  equal for equal questions, whatever the content
  /// @param body  gives the request as JSON; called when the question is new
  void used(cache::Kind kind, std::uint64_t name, std::uint32_t cost_us,
            const std::function<std::string()>& body) KNAP_EXCLUDES(mutex_);
  /// The result is about to expire: it is made anew soon.
  void refresh(std::uint64_t name) KNAP_EXCLUDES(mutex_);
  struct Warmed {
    std::size_t questions = 0, made = 0;
  };
  /// Now, on the caller's thread, until the deadline.
  Warmed warm(Deadline deadline, const CancelToken& cancel) KNAP_EXCLUDES(mutex_, pass_mutex_);

 private:
  struct Question {
    cache::Kind kind = cache::Kind::kSearch;
    std::string body;
    double uses = 0;
    std::uint32_t cost_us = 0;
    double value() const { return uses * cost_us; }
  };
  void run() KNAP_EXCLUDES(mutex_, pass_mutex_);
  bool pause(std::chrono::milliseconds time) KNAP_EXCLUDES(mutex_);
  bool quiet() const KNAP_EXCLUDES(mutex_);
  std::vector<Question> best() const KNAP_EXCLUDES(mutex_);
  void refresh_due() KNAP_EXCLUDES(mutex_, pass_mutex_);
  void make_room() KNAP_REQUIRES(mutex_);
  void load() KNAP_EXCLUDES(mutex_);
  void save() KNAP_EXCLUDES(mutex_);

  const Options options_;
  const Work work_;
  observe::Counter& warmed_;
  const CancelToken stop_;
  Mutex pass_mutex_;  ///< One pass at a time.
  mutable Mutex mutex_;
  CondVar wake_;
  std::unordered_map<std::uint64_t, Question> questions_ KNAP_GUARDED_BY(mutex_);
  std::deque<std::uint64_t> due_ KNAP_GUARDED_BY(mutex_);
  std::uint64_t uses_ KNAP_GUARDED_BY(mutex_) = 0;
  bool unsaved_ KNAP_GUARDED_BY(mutex_) = false;
  bool stopping_ KNAP_GUARDED_BY(mutex_) = false;
  SteadyClock::time_point last_use_ KNAP_GUARDED_BY(mutex_){};
  std::thread thread_;
};

}  // namespace knap::api
