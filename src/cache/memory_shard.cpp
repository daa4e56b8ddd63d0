#include "memory_shard.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "knap/base/assert.hpp"

namespace knap::cache {
namespace {

constexpr std::uint64_t kLargestEntryShare = 16;  // larger ones would push out too much at once
constexpr std::uint32_t kGhostsPerEntry = 3;      // loops up to four times the cache are recognised
constexpr std::uint32_t kGhostsMin = 256;
constexpr std::uint64_t kPutsPerAge = 10;  // for each entry held: then all counts are halved
constexpr int kVictimsLookedAt = 5;
/// What leaves a loop has been asked for once more than what stays in it, at the moment when the
/// two are compared.
constexpr int kAdmissionMargin = 1;
/// Heads are made in chunks, each of twice as many as the one before: a cache that holds little has
/// many shards with a few entries each.
constexpr std::size_t kHeadsOfFirstChunk = 4, kHeadsPerChunkMax = 256;

char* copy_payload(std::string_view key, std::string_view value,
                   std::span<const std::uint64_t> labels) {
  const std::size_t bytes = key.size() + value.size() + labels.size_bytes();
  auto* payload = static_cast<char*>(std::malloc(std::max<std::size_t>(1, bytes)));
  if (payload == nullptr) throw std::bad_alloc();
  std::memcpy(payload, key.data(), key.size());
  if (!value.empty()) std::memcpy(payload + key.size(), value.data(), value.size());
  if (!labels.empty())
    std::memcpy(payload + key.size() + value.size(), labels.data(), labels.size_bytes());
  return payload;
}

}  // namespace

void EntryQueue::push(Entry* entry) {
  entry->queue = name_;
  entry->previous = newest_;
  entry->next = nullptr;
  (newest_ == nullptr ? oldest_ : newest_->next) = entry;
  newest_ = entry;
  bytes_ += entry->payload_bytes() + kEntryOverhead;
}

void EntryQueue::remove(Entry* entry) {
  (entry->previous == nullptr ? oldest_ : entry->previous->next) = entry->next;
  (entry->next == nullptr ? newest_ : entry->next->previous) = entry->previous;
  entry->queue = Queue::kNone;
  bytes_ -= entry->payload_bytes() + kEntryOverhead;
}

MemoryShard::MemoryShard(std::uint16_t number, std::uint64_t capacity_bytes)
    : number_(number), capacity_(capacity_bytes) {}

MemoryShard::~MemoryShard() {
  const MutexLock lock(mutex_);
  for (EntryQueue* queue : {&small_, &main_})
    while (queue->oldest() != nullptr) drop(queue->oldest());
}

Entry* MemoryShard::take_head() {
  const MutexLock lock(free_mutex_);
  if (free_ == nullptr) {
    const std::size_t heads =
        std::min(kHeadsPerChunkMax, kHeadsOfFirstChunk << std::min<std::size_t>(heads_.size(), 8));
    auto& chunk = heads_.emplace_back(std::make_unique<Entry[]>(heads));
    for (std::size_t i = 0; i < heads; ++i) {
      chunk[i].next = free_;
      free_ = &chunk[i];
    }
  }
  return std::exchange(free_, free_->next);
}

void MemoryShard::give_back(Entry* entry) {
  std::free(entry->payload);
  entry->payload = nullptr;
  const MutexLock lock(free_mutex_);
  entry->next = free_;
  free_ = entry;
}

/// Leaves the table and its queue; gone when its last reader goes.
void MemoryShard::drop(Entry* entry) {
  table_.erase(entry);
  queue_of(*entry).remove(entry);
  auto& kind = stats_[index_of(entry->kind)];
  --kind.entries;
  kind.bytes -= size_of(*entry);
  if (entry->unpin()) give_back(entry);
}

void MemoryShard::evict(Entry* entry, SteadyClock::time_point now) {
  auto& kind = stats_[index_of(entry->kind)];
  ++kind.evictions;
  const auto held = std::chrono::duration_cast<std::chrono::milliseconds>(now - entry->inserted);
  kind.evicted_age_ms += static_cast<std::uint64_t>(std::max<std::int64_t>(0, held.count()));
  const std::uint8_t count = count_now(*entry);
  ghosts_.put(entry->hash, {std::max<std::uint8_t>(1, count), age()});
  drop(entry);
}

/// The least asked for of the main queue's oldest; the others go back to its end.
Entry* MemoryShard::main_victim() {
  Entry* best = main_.oldest();
  if (best == nullptr) return nullptr;
  int least = count_now(*best);
  for (int looked = 1; looked < kVictimsLookedAt && least > 0; ++looked) {
    Entry* other = best->next;
    if (other == nullptr) break;
    const int count = count_now(*other);
    Entry* spared = count < least ? best : other;
    if (count < least) {
      best = other;
      least = count;
    }
    main_.remove(spared);
    main_.push(spared);
  }
  return best;
}

/// Whether something asked for `count` times may enter the main queue: there is room, or it takes
/// the place of what is asked for less.
bool MemoryShard::admit(std::uint8_t count, std::uint64_t bytes, SteadyClock::time_point now) {
  while (main_.bytes() + bytes > main_most()) {
    Entry* victim = main_victim();
    if (victim == nullptr || count <= count_now(*victim) + kAdmissionMargin) return false;
    evict(victim, now);
  }
  return true;
}

void MemoryShard::evict_from_small(SteadyClock::time_point now) {
  Entry* entry = small_.oldest();
  const std::uint8_t count = count_now(*entry);
  const bool room = main_.bytes() + size_of(*entry) <= main_most();
  if (room || (count > 1 && admit(count, size_of(*entry), now))) {
    small_.remove(entry);
    main_.push(entry);
    return;
  }
  evict(entry, now);
}

void MemoryShard::make_room(std::uint64_t bytes, SteadyClock::time_point now) {
  while (used() + bytes > capacity_) {
    // The main queue gives way only to what admit() let in, or to a smaller bound.
    if (small_.oldest() != nullptr && main_.bytes() <= main_most()) {
      evict_from_small(now);
    } else {
      evict(main_victim(), now);
    }
  }
}

bool MemoryShard::put(std::string_view key, std::uint64_t hash, std::string_view value,
                      std::span<const std::uint64_t> labels, const EntryFacts& facts,
                      SteadyClock::time_point now) {
  const std::uint64_t bytes = key.size() + value.size() + labels.size_bytes() + kEntryOverhead;
  const MutexLock lock(mutex_);
  auto& kind = stats_[index_of(facts.kind)];
  if (bytes > capacity_ / kLargestEntryShare) {
    ++kind.refused;
    return false;
  }
  ++kind.puts;
  if (++puts_of_age_ > kPutsPerAge * std::max<std::uint64_t>(kGhostsMin, table_.size())) {
    puts_of_age_ = 0;
    age_.fetch_add(1, std::memory_order_relaxed);
  }
  const auto wanted = static_cast<std::uint32_t>(
      std::max<std::size_t>(kGhostsMin, table_.size() * kGhostsPerEntry));
  // In steps, because a larger list begins empty.
  if (wanted > ghosts_.capacity() + ghosts_.capacity() / 2) ghosts_.set_capacity(wanted);
  // This asking counts too.
  const GhostList::Count ghost = ghosts_.take(hash);
  std::uint8_t count = static_cast<std::uint8_t>(
      std::min<int>(Entry::kCountMax, Entry::halved(ghost.value, ghost.age, age()) + 1));
  if (Entry* old = table_.find_mine(key, hash)) {
    count = std::max(count, count_now(*old));
    drop(old);
  }
  const bool known = count > 1;
  const bool to_main = known && admit(count, bytes, now);
  make_room(bytes, now);
  Entry* entry = take_head();
  entry->count.store(count, std::memory_order_relaxed);
  entry->age.store(age(), std::memory_order_relaxed);
  entry->refresh_taken.store(false, std::memory_order_relaxed);
  entry->kind = facts.kind;
  entry->negative = facts.negative;
  entry->cost_us = facts.cost_us;
  entry->expires = facts.expires;
  entry->refresh_after = facts.refresh_after;
  entry->key_bytes = static_cast<std::uint32_t>(key.size());
  entry->value_bytes = static_cast<std::uint32_t>(value.size());
  entry->labels = static_cast<std::uint32_t>(labels.size());
  entry->shard = number_;
  entry->hash = hash;
  entry->inserted = now;
  entry->payload = copy_payload(key, value, labels);
  entry->references.store(1, std::memory_order_release);
  (to_main ? main_ : small_).push(entry);
  table_.insert(entry);
  ++kind.entries;
  kind.bytes += size_of(*entry);
  return true;
}

bool MemoryShard::erase(std::string_view key, std::uint64_t hash, const Entry* only) {
  const MutexLock lock(mutex_);
  Entry* entry = table_.find_mine(key, hash);
  if (entry == nullptr || (only != nullptr && entry != only)) return false;
  if (only != nullptr) ++stats_[index_of(entry->kind)].expired;
  drop(entry);
  return true;
}

bool MemoryShard::erase(std::uint64_t hash) {
  const MutexLock lock(mutex_);
  Entry* entry = table_.find_mine(hash);
  if (entry == nullptr) return false;
  drop(entry);
  return true;
}

std::uint64_t MemoryShard::erase_if(const MemoryCache::Question& question) {
  const MutexLock lock(mutex_);
  std::uint64_t erased = 0;
  std::vector<std::uint64_t> labels;
  for (EntryQueue* queue : {&small_, &main_}) {
    for (Entry* entry = queue->oldest(); entry != nullptr;) {
      Entry* next = entry->next;
      labels.resize(entry->labels);
      if (!labels.empty())
        std::memcpy(labels.data(), entry->label_bytes(), labels.size() * sizeof(std::uint64_t));
      if (question(entry->key(), entry->kind, labels)) {
        drop(entry);
        ++erased;
      }
      entry = next;
    }
  }
  return erased;
}

void MemoryShard::resize(std::uint64_t capacity_bytes, SteadyClock::time_point now) {
  const MutexLock lock(mutex_);
  capacity_ = capacity_bytes;
  make_room(0, now);
}

void MemoryShard::add_to(MemoryCache::Stats& stats) const {
  const MutexLock lock(mutex_);
  for (std::size_t i = 0; i < stats.size(); ++i) {
    stats[i].puts += stats_[i].puts;
    stats[i].refused += stats_[i].refused;
    stats[i].expired += stats_[i].expired;
    stats[i].evictions += stats_[i].evictions;
    stats[i].evicted_age_ms += stats_[i].evicted_age_ms;
    stats[i].entries += stats_[i].entries;
    stats[i].bytes += stats_[i].bytes;
  }
}

}  // namespace knap::cache
