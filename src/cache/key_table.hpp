#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "entry.hpp"

namespace knap::cache {

/// Hash table from key to entry that is read without a lock.
///
/// Buckets are one cache line: seven places, each a pointer with 16 bits of the key's hash in its
/// unused upper half, and a count of entries that found the bucket full and went on to the next
/// (the idea is F14's). Nothing is ever moved within a table, so a reader meets an entry or misses
/// it, but never reads another's. A table that grows is copied; the old ones stay until the end for
/// readers under way: together they are no larger than the present one.
///
/// Threads: find() from any; all else by one thread at a time (the shard's lock).
class KeyTable {
 public:
  KeyTable();

  /// The entry, pinned, or null.
  /// @param give_back  called with an entry that was pinned in vain: it must be unpinned
  template <typename GiveBack>
  Entry* find(std::string_view key, std::uint64_t hash, const GiveBack& give_back) const {
    return look(*current_.load(std::memory_order_acquire), hash, [&](Entry* entry) {
      if (!entry->pin()) return false;
      if (entry->hash == hash && entry->key() == key) return true;
      give_back(entry);
      return false;
    });
  }
  /// The entry as the writer sees it; not pinned.
  Entry* find_mine(std::string_view key, std::uint64_t hash) const;
  /// Any entry of that hash.
  Entry* find_mine(std::uint64_t hash) const;
  /// @pre no entry of that key is in the table
  void insert(Entry* entry);
  /// @pre the entry is in the table
  void erase(const Entry* entry);
  std::size_t size() const { return size_; }

 private:
  static constexpr std::size_t kPlaces = 7;
  struct alignas(64) Bucket {
    std::array<std::atomic<std::uint64_t>, kPlaces> places{};
    std::atomic<std::uint64_t> passed_on = 0;
  };
  static_assert(sizeof(Bucket) == 64);
  struct Table {
    explicit Table(std::size_t count) : buckets(count), mask(count - 1) {}
    std::vector<Bucket> buckets;
    std::size_t mask;
  };

  static constexpr unsigned kPointerBits = 48;
  static constexpr std::uint64_t kPointerMask = (std::uint64_t{1} << kPointerBits) - 1;

  template <typename Wanted>
  static Entry* look(const Table& table, std::uint64_t hash, const Wanted& wanted) {
    const std::uint64_t tag = hash & ~kPointerMask;
    std::size_t at = home_of(hash) & table.mask;
    for (std::size_t tried = 0; tried <= table.mask; ++tried, at = (at + 1) & table.mask) {
      const Bucket& bucket = table.buckets[at];
      for (const auto& place : bucket.places) {
        const std::uint64_t word = place.load(std::memory_order_acquire);
        if ((word & ~kPointerMask) != tag || (word & kPointerMask) == 0) continue;
        if (Entry* entry = entry_of(word); wanted(entry)) return entry;
      }
      if (bucket.passed_on.load(std::memory_order_relaxed) == 0) return nullptr;
    }
    return nullptr;
  }
  static Entry* entry_of(std::uint64_t word) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the pointer shares its word with the tag.
    return reinterpret_cast<Entry*>(word & kPointerMask);
  }
  /// Bits that neither the shard (lowest) nor the tag (highest) is chosen by.
  static std::size_t home_of(std::uint64_t hash) { return hash >> 8; }
  static std::uint64_t tagged(Entry* entry);
  static void place(Table& table, Entry* entry);
  void grow();

  std::vector<std::unique_ptr<Table>> tables_;  ///< The last one is in use.
  std::atomic<const Table*> current_;
  std::size_t size_ = 0;
};

}  // namespace knap::cache
