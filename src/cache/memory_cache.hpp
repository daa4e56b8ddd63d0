#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "entry.hpp"
#include "knap/base/deadline.hpp"

namespace knap::cache {

class MemoryShard;

/// What is known of a cached value beside its bytes.
struct EntryFacts {
  Kind kind = Kind::kSearch;
  bool negative = false;      ///< It says that there is nothing.
  std::uint32_t cost_us = 0;  ///< What making it took.
  SteadyClock::time_point expires = SteadyClock::time_point::max();
  SteadyClock::time_point refresh_after = SteadyClock::time_point::max();
};

/// Values in memory, bounded in bytes.
///
/// Policy: S3-FIFO (Yang et al., SOSP 2023): new values pass through a small queue, those asked for
/// again meanwhile go to the main one, and a ghost list knows what left lately. Added to it is
/// TinyLFU's question (Einziger et al., 2017): a value enters a full main queue only in place of
/// one that was asked for less often. Without it a loop a little larger than the cache never hits.
/// The counts need no sketch: they travel with the entry, and in the ghost list after it.
///
/// Hits take no lock: they find the entry in a KeyTable, pin it and raise its count. Misses take
/// none either; puts and erasures lock one shard.
///
/// Threads: safe. Must outlive its hits. Times are given by the caller, so that tests have their
/// own; they may be as coarse as a few milliseconds.
class MemoryCache {
 public:
  struct Options {
    std::uint64_t capacity_bytes = 256ULL << 20;
    std::uint32_t shards = 0;  ///< A power of two; 0: by the capacity.
  };
  explicit MemoryCache(Options options);
  ~MemoryCache();
  MemoryCache(const MemoryCache&) = delete;
  MemoryCache& operator=(const MemoryCache&) = delete;

  /// A value that was found, held while this lives.
  class Hit {
   public:
    Hit() = default;
    Hit(Hit&& other) noexcept
        : cache_(std::exchange(other.cache_, nullptr)),
          entry_(std::exchange(other.entry_, nullptr)) {}
    Hit& operator=(Hit&& other) noexcept;
    ~Hit() { reset(); }
    explicit operator bool() const { return entry_ != nullptr; }
    std::string_view value() const { return entry_->value(); }
    bool negative() const { return entry_->negative; }
    std::uint32_t cost_us() const { return entry_->cost_us; }
    /// True once for one reader of a value that will soon expire: it should make it anew.
    bool take_refresh(SteadyClock::time_point now) const;

   private:
    friend class MemoryCache;
    Hit(MemoryCache* cache, Entry* entry) : cache_(cache), entry_(entry) {}
    void reset();
    MemoryCache* cache_ = nullptr;
    Entry* entry_ = nullptr;
  };

  /// @param hash  hash64(key)
  Hit get(std::string_view key, std::uint64_t hash, SteadyClock::time_point now);
  /// Replaces what is there. False: larger than a value may be (1/16 of a shard).
  bool put(std::string_view key, std::uint64_t hash, std::string_view value,
           std::span<const std::uint64_t> labels, const EntryFacts& facts,
           SteadyClock::time_point now);
  /// True when it was there.
  bool erase(std::string_view key, std::uint64_t hash);
  /// A value of which only the hash is known.
  bool erase(std::uint64_t hash);
  /// Erases what the question says yes to; returns how many. Locks each shard while it is gone
  /// through.
  using Question =
      std::function<bool(std::string_view key, Kind kind, std::span<const std::uint64_t> labels)>;
  std::uint64_t erase_if(const Question& question);
  void clear();

  /// Another bound, at once.
  void resize(std::uint64_t capacity_bytes);

  struct KindStats {
    std::uint64_t hits = 0, puts = 0, refused = 0, expired = 0, evictions = 0;
    std::uint64_t entries = 0, bytes = 0;
    std::uint64_t evicted_age_ms = 0;  ///< Sum over evictions.
    std::uint64_t saved_us = 0;        ///< What making the values of all hits had taken.
  };
  using Stats = std::array<KindStats, kKinds.size()>;
  Stats stats() const;
  std::uint64_t capacity_bytes() const { return capacity_.load(std::memory_order_relaxed); }

 private:
  friend class Hit;
  static constexpr std::size_t kStripes = 16;
  struct alignas(64) Stripe {
    struct Counts {
      std::atomic<std::uint64_t> hits = 0, saved_us = 0;
    };
    std::array<Counts, kKinds.size()> kinds;
  };
  MemoryShard& shard_of(std::uint64_t hash) const { return *shards_[hash & mask_]; }
  void give_back(Entry* entry);

  std::vector<std::unique_ptr<MemoryShard>> shards_;
  std::uint64_t mask_ = 0;
  std::atomic<std::uint64_t> capacity_;
  std::array<Stripe, kStripes> stripes_;
};

/// Steady time to a few milliseconds, four times cheaper than the exact one.
SteadyClock::time_point coarse_now();

}  // namespace knap::cache
