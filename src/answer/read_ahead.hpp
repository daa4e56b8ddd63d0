#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>

#include "knap/base/hash.hpp"
#include "knap/base/mutex.hpp"
#include "knap/models/models.hpp"
#include "knap/observe/metrics.hpp"
#include "knap/service/leases.hpp"

namespace knap::answer {

/// Lets the answer model read passages before a question needs them: those that answers quoted and
/// those that searches found, the most wanted first.
///
/// It works on a thread of its own, one passage after the other, at background level: only while
/// nobody else computes, and it gives up within some 20 ms when somebody does. What is read is the
/// passage as it stands in prompts, and its hash names it: one that was edited is another one.
/// Threads: safe.
class ReadAhead {
 public:
  struct Options {
    double time_share = 0.5;  ///< Of the time, at most, it reads.
    std::size_t waiting_max = 256;
  };
  ReadAhead(Options options, models::Models& models, service::ComputeLeases& leases,
            observe::Registry& metrics);
  ~ReadAhead();
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  /// A passage, as known_passage() wrote it, may be asked about again.
  /// @param weight  adds up over the times it is wanted
  void want(const std::string& passage, double weight) KNAP_EXCLUDES(mutex_);
  std::size_t waiting() const KNAP_EXCLUDES(mutex_);

 private:
  struct Wanted {
    std::string text;
    double weight = 0;
    std::uint64_t number = 0;
    int tries = 0;
  };
  void run() KNAP_EXCLUDES(mutex_);
  void watch() KNAP_EXCLUDES(mutex_);
  std::optional<Wanted> take() KNAP_EXCLUDES(mutex_);
  enum class Read { kDone, kLater, kNever };
  Read read(const Wanted& wanted) KNAP_EXCLUDES(mutex_);
  void remember(const Hash128& text) KNAP_REQUIRES(mutex_);
  void show_figures(models::Generator& model);
  bool pause(std::chrono::nanoseconds time) KNAP_EXCLUDES(mutex_);

  const Options options_;
  models::Models& models_;
  service::ComputeLeases& leases_;
  observe::Registry& metrics_;
  observe::Counter& read_tokens_;
  observe::Counter& read_passages_;
  observe::Gauge& waiting_;
  mutable Mutex mutex_;
  CondVar wake_;
  std::unordered_map<Hash128, Wanted> wanted_ KNAP_GUARDED_BY(mutex_);
  std::deque<Hash128> recent_ KNAP_GUARDED_BY(mutex_);  ///< Read lately: asked for less often.
  std::optional<CancelToken> reading_ KNAP_GUARDED_BY(mutex_);
  std::uint64_t next_number_ KNAP_GUARDED_BY(mutex_) = 0;
  bool stopping_ KNAP_GUARDED_BY(mutex_) = false;
  std::thread reader_, watcher_;
};

}  // namespace knap::answer
