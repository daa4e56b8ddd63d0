#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "disk_segment.hpp"
#include "knap/base/mutex.hpp"
#include "knap/base/result.hpp"
#include "knap/cache/kind.hpp"

namespace knap::cache {

/// Values on disk, bounded in bytes, still there after a restart: append-only segments (Bitcask's
/// log) with an index in memory of 24 bytes a value.
///
/// What was written survives the process: a kill loses only what still stood in the queue. A power
/// cut may tear what was written last; checksums find that. Erasures are synced. The oldest segment
/// makes room when the bound is reached, and its values that were asked for are written again.
///
/// Threads: safe. get() reads the disk on the caller's thread; puts are written by a thread of the
/// cache's own and are dropped when it cannot keep up. Destruction writes what is queued.
class DiskCache {
 public:
  struct Options {
    std::filesystem::path folder;
    std::uint64_t capacity_bytes = 1ULL << 30;
    std::uint64_t entries_max = 4'000'000;    ///< Bounds the index: 100 MB.
    std::uint64_t segment_bytes = 0;          ///< 0: by the capacity; at most 128 MiB.
    std::uint64_t compress_above = 1U << 10;  ///< Larger values are compressed where that helps.
  };
  /// Makes the folder, locks it and reads the lists of its segments. Damaged files are removed.
  /// Errors: kAlreadyExists (another process has it), kIo, kPermissionDenied, kResourceExhausted.
  static Result<std::unique_ptr<DiskCache>> open(Options options);
  ~DiskCache();
  DiskCache(const DiskCache&) = delete;
  DiskCache& operator=(const DiskCache&) = delete;

  struct Value {
    Kind kind = Kind::kSearch;
    bool negative = false;
    std::uint32_t cost_us = 0;
    std::int64_t written_ms = 0, expires_ms = 0;  ///< Unix time; expires_ms 0: never.
    std::string bytes;
    std::vector<std::uint64_t> labels;
  };
  /// @param hash  hash64(key)
  std::optional<Value> get(std::string_view key, std::uint64_t hash, std::int64_t now_ms);
  /// Queues a value. False: the queue is full, or it is larger than a value may be.
  bool put(std::string_view key, std::uint64_t hash, Value value);
  /// At once, and once it is written (flush()) for ever: what was put before does not come back.
  void erase(std::string_view key, std::uint64_t hash);
  using Question =
      std::function<bool(std::string_view key, Kind kind, std::span<const std::uint64_t> labels)>;
  /// Reads every record: seconds for gigabytes. Returns how many were erased.
  std::uint64_t erase_if(const Question& question);
  void clear();
  /// Waits until what is queued has been written.
  void flush();

  struct Stats {
    std::uint64_t entries = 0, bytes = 0, segments = 0, puts = 0, dropped = 0, damaged = 0;
    std::uint64_t write_errors = 0, rewritten = 0, evicted = 0;
    std::array<std::uint64_t, kKinds.size()> hits{}, saved_us{};
  };
  Stats stats() const;
  std::uint64_t capacity_bytes() const { return options_.capacity_bytes; }

 private:
  struct Place {
    std::uint32_t segment = 0;
    std::uint32_t offset = 0;  ///< In units of disk::kAlignment.
    std::uint32_t bytes : 31 = 0;
    std::uint32_t asked : 1 = 0;  ///< Since it was written there.
    std::uint32_t expires_s = 0;  ///< Unix time, rounded up; 0: never.
  };
  static_assert(sizeof(Place) == 16);
  struct Task {
    std::string key;
    std::uint64_t hash = 0;
    Value value;
    bool erased = false;
    std::size_t bytes() const { return key.size() + value.bytes.size() + sizeof(Task); }
  };
  using Segments = std::map<std::uint64_t, std::shared_ptr<DiskSegment>>;

  explicit DiskCache(Options options);
  Status load();
  Status begin_segment() KNAP_REQUIRES(write_mutex_);
  void run();
  void write(const std::vector<Task>& batch, std::uint64_t generation)
      KNAP_EXCLUDES(mutex_, write_mutex_);
  void give_up(const std::vector<Task>& batch) KNAP_REQUIRES(write_mutex_);
  void forget_all() KNAP_REQUIRES(write_mutex_);
  void encode(const Task& task, std::string& out) const;
  enum class Origin { kQueue, kRewrite };
  Status append(const std::string& bytes, const std::vector<disk::Listed>& listed, Origin origin)
      KNAP_REQUIRES(write_mutex_);
  void settle(const std::vector<Task>& batch, std::uint64_t generation) KNAP_EXCLUDES(mutex_);
  void make_room() KNAP_REQUIRES(write_mutex_);
  std::vector<std::pair<std::uint64_t, Place>> places_in(const DiskSegment& segment) const
      KNAP_EXCLUDES(mutex_);
  void rewrite_asked(const DiskSegment& segment,
                     const std::vector<std::pair<std::uint64_t, Place>>& places)
      KNAP_REQUIRES(write_mutex_);
  bool too_full() const KNAP_EXCLUDES(mutex_);
  void note(const disk::Listed& listed, std::uint64_t segment) KNAP_REQUIRES(mutex_);
  std::uint64_t total_bytes() const KNAP_EXCLUDES(mutex_);
  void forget_damaged(std::uint64_t hash, const Place& place) KNAP_EXCLUDES(mutex_);

  const Options options_;
  const std::uint64_t segment_bytes_;
  std::uint64_t salt_ = 0;  ///< Of the segments that this process writes.
  FileDescriptor lock_;

  /// Held while files change; taken before mutex_.
  Mutex write_mutex_;
  std::vector<disk::Listed> listed_ KNAP_GUARDED_BY(write_mutex_);  ///< Of the open segment.
  std::shared_ptr<DiskSegment> open_ KNAP_GUARDED_BY(write_mutex_);
  std::uint64_t next_number_ KNAP_GUARDED_BY(write_mutex_) = 1;
  Deadline paused_ KNAP_GUARDED_BY(write_mutex_) = Deadline::after(SteadyClock::duration::zero());

  mutable Mutex mutex_;
  CondVar changed_;
  boost::unordered_flat_map<std::uint64_t, Place> places_ KNAP_GUARDED_BY(mutex_);
  Segments segments_ KNAP_GUARDED_BY(mutex_);
  std::deque<Task> queue_ KNAP_GUARDED_BY(mutex_);
  std::size_t queue_bytes_ KNAP_GUARDED_BY(mutex_) = 0;
  /// Keys whose erasure is not written yet, and how many times: nothing is found under them.
  boost::unordered_flat_map<std::uint64_t, std::uint32_t> erasing_ KNAP_GUARDED_BY(mutex_);
  std::uint64_t generation_ KNAP_GUARDED_BY(mutex_) = 0;  ///< Raised by clear().
  bool writing_ KNAP_GUARDED_BY(mutex_) = false;
  bool stopping_ KNAP_GUARDED_BY(mutex_) = false;
  Stats stats_ KNAP_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace knap::cache
