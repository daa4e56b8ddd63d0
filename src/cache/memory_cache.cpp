#include "memory_cache.hpp"

#include <time.h>

#include <algorithm>
#include <bit>

#include "memory_shard.hpp"

namespace knap::cache {
namespace {

constexpr std::uint32_t kShardsMax = 64;
constexpr std::uint64_t kShardBytesMin = 4ULL << 20;  // smaller ones hold too few large values

std::uint32_t shards_for(std::uint64_t capacity_bytes) {
  const auto fitting = std::clamp<std::uint64_t>(capacity_bytes / kShardBytesMin, 1, kShardsMax);
  return static_cast<std::uint32_t>(std::bit_floor(fitting));
}

/// Threads count in different cache lines, as far as the stripes go.
std::size_t own_stripe(std::size_t stripes) {
  static std::atomic<std::size_t> next = 0;
  thread_local const std::size_t kMine = next.fetch_add(1, std::memory_order_relaxed);
  return kMine % stripes;
}

}  // namespace

SteadyClock::time_point coarse_now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
  return SteadyClock::time_point(std::chrono::seconds(time.tv_sec) +
                                 std::chrono::nanoseconds(time.tv_nsec));
}

MemoryCache::MemoryCache(Options options) : capacity_(options.capacity_bytes) {
  const std::uint32_t count =
      options.shards == 0 ? shards_for(options.capacity_bytes) : std::bit_floor(options.shards);
  for (std::uint32_t i = 0; i < count; ++i) {
    shards_.push_back(std::make_unique<MemoryShard>(static_cast<std::uint16_t>(i),
                                                    options.capacity_bytes / count));
  }
  mask_ = count - 1;
}

MemoryCache::~MemoryCache() = default;

MemoryCache::Hit& MemoryCache::Hit::operator=(Hit&& other) noexcept {
  if (this != &other) {
    reset();
    cache_ = std::exchange(other.cache_, nullptr);
    entry_ = std::exchange(other.entry_, nullptr);
  }
  return *this;
}

void MemoryCache::Hit::reset() {
  if (entry_ != nullptr && entry_->unpin()) cache_->give_back(entry_);
  entry_ = nullptr;
}

bool MemoryCache::Hit::take_refresh(SteadyClock::time_point now) const {
  return now >= entry_->refresh_after &&
         !entry_->refresh_taken.exchange(true, std::memory_order_relaxed);
}

void MemoryCache::give_back(Entry* entry) { shards_[entry->shard]->give_back(entry); }

MemoryCache::Hit MemoryCache::get(std::string_view key, std::uint64_t hash,
                                  SteadyClock::time_point now) {
  MemoryShard& shard = shard_of(hash);
  Entry* entry = shard.table().find(key, hash, [this](Entry* unwanted) {
    if (unwanted->unpin()) give_back(unwanted);
  });
  if (entry == nullptr) return {};
  Hit hit(this, entry);
  if (now >= entry->expires) {
    shard.erase(key, hash, entry);
    return {};
  }
  entry->touch(shard.age(), 1);
  auto& counts = stripes_[own_stripe(kStripes)].kinds[index_of(entry->kind)];
  counts.hits.fetch_add(1, std::memory_order_relaxed);
  if (entry->cost_us != 0) counts.saved_us.fetch_add(entry->cost_us, std::memory_order_relaxed);
  return hit;
}

bool MemoryCache::put(std::string_view key, std::uint64_t hash, std::string_view value,
                      std::span<const std::uint64_t> labels, const EntryFacts& facts,
                      SteadyClock::time_point now) {
  return shard_of(hash).put(key, hash, value, labels, facts, now);
}

bool MemoryCache::erase(std::string_view key, std::uint64_t hash) {
  return shard_of(hash).erase(key, hash, nullptr);
}

bool MemoryCache::erase(std::uint64_t hash) { return shard_of(hash).erase(hash); }

std::uint64_t MemoryCache::erase_if(const Question& question) {
  std::uint64_t erased = 0;
  for (const auto& shard : shards_) erased += shard->erase_if(question);
  return erased;
}

void MemoryCache::clear() {
  erase_if([](auto, auto, auto) { return true; });
}

void MemoryCache::resize(std::uint64_t capacity_bytes) {
  capacity_.store(capacity_bytes, std::memory_order_relaxed);
  for (const auto& shard : shards_) shard->resize(capacity_bytes / shards_.size(), coarse_now());
}

MemoryCache::Stats MemoryCache::stats() const {
  Stats out{};
  for (const auto& shard : shards_) shard->add_to(out);
  for (const Stripe& stripe : stripes_) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i].hits += stripe.kinds[i].hits.load(std::memory_order_relaxed);
      out[i].saved_us += stripe.kinds[i].saved_us.load(std::memory_order_relaxed);
    }
  }
  return out;
}

}  // namespace knap::cache
