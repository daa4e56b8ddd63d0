#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "knap/base/deadline.hpp"
#include "knap/cache/kind.hpp"

namespace knap::cache {

enum class Queue : std::uint8_t { kNone, kSmall, kMain };

/// The head of one value in memory.
///
/// Heads are never given back to the system while their cache lives, only used again. So a reader
/// that took one from the table without a lock may look at `references` whatever has happened to it
/// meanwhile: when pin() succeeds nobody changes the rest until unpin, and the reader then sees
/// whether it is the entry it wanted (as Linux's SLAB_TYPESAFE_BY_RCU).
///
/// Threads: `references`, `count`, `age` and `refresh_taken` are atomic. The other fields of the
/// first line are written before the head is published with references = 1 and read while pinned;
/// those of the second line belong to whoever holds the shard's lock.
struct alignas(64) Entry {
  std::atomic<std::uint32_t> references = 0;  ///< 1 for the table, 1 for each reader.
  std::atomic<std::uint8_t> count = 0;        ///< Times it was asked for, up to kCountMax.
  std::atomic<bool> refresh_taken = false;    ///< One reader has been told to renew it.
  Kind kind = Kind::kSearch;
  bool negative = false;
  std::uint32_t key_bytes = 0, value_bytes = 0;
  std::uint32_t labels = 0;   ///< After the value: 64-bit hashes of what the value was made of.
  std::uint32_t cost_us = 0;  ///< What making the value took.
  std::uint16_t shard = 0;
  std::atomic<std::uint8_t> age = 0;  ///< The shard's age to which `count` is true.
  SteadyClock::time_point expires, refresh_after;
  char* payload = nullptr;  ///< Key, value, labels: one allocation.
  std::uint64_t hash = 0;

  Entry* previous = nullptr;
  Entry* next = nullptr;  ///< Of the queue, or of the free list.
  SteadyClock::time_point inserted;
  Queue queue = Queue::kNone;

  static constexpr std::uint8_t kCountMax = 15;

  bool pin() {
    std::uint32_t seen = references.load(std::memory_order_relaxed);
    do {
      if (seen == 0) return false;
    } while (!references.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire,
                                               std::memory_order_relaxed));
    return true;
  }
  /// True for the last one, who must give the head back.
  bool unpin() { return references.fetch_sub(1, std::memory_order_acq_rel) == 1; }

  std::string_view key() const { return {payload, key_bytes}; }
  std::string_view value() const { return {payload + key_bytes, value_bytes}; }
  const char* label_bytes() const { return payload + key_bytes + value_bytes; }
  std::size_t payload_bytes() const {
    return std::size_t{key_bytes} + value_bytes + labels * sizeof(std::uint64_t);
  }
  /// A count is halved each time its shard grows older.
  static std::uint8_t halved(std::uint8_t count, std::uint8_t from_age, std::uint8_t to_age) {
    const unsigned halvings = static_cast<std::uint8_t>(to_age - from_age);
    return halvings > 7 ? std::uint8_t{0} : static_cast<std::uint8_t>(count >> halvings);
  }
  /// The count, true for `now`, with `more` added. May lose one of several changes that come at
  /// once, which does not matter.
  std::uint8_t touch(std::uint8_t now, std::uint8_t more) {
    const std::uint8_t was = count.load(std::memory_order_relaxed);
    const std::uint8_t from = age.load(std::memory_order_relaxed);
    std::uint8_t is = from == now ? was : halved(was, from, now);
    if (from != now) age.store(now, std::memory_order_relaxed);
    if (is < kCountMax) is = static_cast<std::uint8_t>(is + more);
    if (is != was) count.store(is, std::memory_order_relaxed);
    return is;
  }
};

static_assert(sizeof(Entry) == 128, "two cache lines: readers touch the first one alone");

/// What an entry takes beside its payload: head, place in the table, the allocator's own.
inline constexpr std::size_t kEntryOverhead = sizeof(Entry) + 32;

}  // namespace knap::cache
