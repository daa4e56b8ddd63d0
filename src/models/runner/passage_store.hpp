#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <unordered_map>

#include "knap/base/hash.hpp"
#include "knap/base/mutex.hpp"
#include "knap/base/thread_pool.hpp"
#include "runner/passage_state.hpp"

namespace knap::models::runner {

/// The states of passages that one model has read ahead, in memory and on disk, each bounded in
/// bytes. In memory those go first that were used least, long ago; on disk those that were written
/// or read longest ago. What cannot be read back is removed and counts as never read.
///
/// Threads: safe. find() reads a file of some megabytes where the state is on disk only; files are
/// written by a thread of its own.
class PassageStore {
 public:
  struct Options {
    std::uint64_t memory_bytes = 0;  ///< 0: nothing is kept, not on disk either.
    std::filesystem::path folder;    ///< Of its own; empty: memory only.
    std::uint64_t disk_bytes = 0;
    Hash128 model;  ///< Of the weights: states of others are never used.
  };
  struct Stats {
    std::uint64_t hits = 0, misses = 0, read_ahead = 0, evicted = 0, damaged = 0;
    std::uint64_t held = 0, memory_bytes = 0, on_disk = 0, disk_bytes = 0;
  };
  using State = std::shared_ptr<const PassageState>;

  /// Looks through the folder, at most kFilesMax files. A folder that cannot be used is no error:
  /// states are then kept in memory only.
  explicit PassageStore(Options options);

  bool enabled() const { return options_.memory_bytes > 0; }
  /// Null when it was never read, or cannot be read back.
  State find(const Hash128& text) KNAP_EXCLUDES(mutex_);
  bool contains(const Hash128& text) const KNAP_EXCLUDES(mutex_);
  /// Too large a one is not kept.
  void put(State state) KNAP_EXCLUDES(mutex_);
  /// One that the engine refused.
  void forget(const Hash128& text) KNAP_EXCLUDES(mutex_);
  /// Whether a prompt's part could be put in: what the figures count.
  void count(bool hit) KNAP_EXCLUDES(mutex_);
  Stats stats() const KNAP_EXCLUDES(mutex_);

  static constexpr std::size_t kFilesMax = 100'000;

 private:
  struct Held {
    State state;
    double value = 0;
  };
  struct OnDisk {
    std::uint64_t bytes = 0, used = 0;
  };
  std::filesystem::path path_of(const Hash128& text) const;
  void open_folder() KNAP_EXCLUDES(mutex_);
  void hold(State state) KNAP_REQUIRES(mutex_);
  void write(const State& state) KNAP_EXCLUDES(mutex_);
  void trim_disk() KNAP_REQUIRES(mutex_);

  const Options options_;
  mutable Mutex mutex_;
  std::unordered_map<Hash128, Held> held_ KNAP_GUARDED_BY(mutex_);
  std::unordered_map<Hash128, OnDisk> on_disk_ KNAP_GUARDED_BY(mutex_);
  Stats stats_ KNAP_GUARDED_BY(mutex_);
  double least_value_ KNAP_GUARDED_BY(mutex_) = 0;
  std::uint64_t clock_ KNAP_GUARDED_BY(mutex_) = 0;
  ThreadPool writer_;  // last: it ends before what it writes from
};

}  // namespace knap::models::runner
