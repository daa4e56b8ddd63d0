#include "key_table.hpp"

#include "knap/base/assert.hpp"

namespace knap::cache {
namespace {

constexpr std::size_t kFirstBuckets = 16;
static_assert(sizeof(void*) == 8, "pointers carry a tag in their upper 16 bits");

}  // namespace

KeyTable::KeyTable() {
  tables_.push_back(std::make_unique<Table>(kFirstBuckets));
  current_.store(tables_.back().get(), std::memory_order_release);
}

std::uint64_t KeyTable::tagged(Entry* entry) {
  const auto address = reinterpret_cast<std::uint64_t>(entry);
  KNAP_ASSERT(address <= kPointerMask);
  return (entry->hash & ~kPointerMask) | address;
}

Entry* KeyTable::find_mine(std::string_view key, std::uint64_t hash) const {
  return look(*tables_.back(), hash,
              [&](Entry* entry) { return entry->hash == hash && entry->key() == key; });
}

Entry* KeyTable::find_mine(std::uint64_t hash) const {
  return look(*tables_.back(), hash, [&](Entry* entry) { return entry->hash == hash; });
}

void KeyTable::place(Table& table, Entry* entry) {
  std::size_t at = home_of(entry->hash) & table.mask;
  for (;; at = (at + 1) & table.mask) {
    Bucket& bucket = table.buckets[at];
    for (auto& place : bucket.places) {
      if (place.load(std::memory_order_relaxed) != 0) continue;
      place.store(tagged(entry), std::memory_order_release);
      return;
    }
    bucket.passed_on.fetch_add(1, std::memory_order_relaxed);
  }
}

void KeyTable::insert(Entry* entry) {
  // Above two thirds buckets begin to overflow often.
  if ((size_ + 1) * 3 > tables_.back()->buckets.size() * kPlaces * 2) grow();
  place(*tables_.back(), entry);
  ++size_;
}

void KeyTable::erase(const Entry* entry) {
  Table& table = *tables_.back();
  std::size_t at = home_of(entry->hash) & table.mask;
  for (std::size_t tried = 0; tried <= table.mask; ++tried, at = (at + 1) & table.mask) {
    Bucket& bucket = table.buckets[at];
    for (auto& place : bucket.places) {
      const std::uint64_t word = place.load(std::memory_order_relaxed);
      if (word == 0 || entry_of(word) != entry) continue;
      place.store(0, std::memory_order_release);
      --size_;
      // The buckets passed on the way here have one entry less beyond them.
      for (std::size_t back = home_of(entry->hash) & table.mask; back != at;
           back = (back + 1) & table.mask) {
        table.buckets[back].passed_on.fetch_sub(1, std::memory_order_relaxed);
      }
      return;
    }
  }
  KNAP_ASSERT(false);
}

void KeyTable::grow() {
  const Table& old = *tables_.back();
  auto larger = std::make_unique<Table>(old.buckets.size() * 2);
  for (const Bucket& bucket : old.buckets) {
    for (const auto& each : bucket.places) {
      const std::uint64_t word = each.load(std::memory_order_relaxed);
      if (word != 0) place(*larger, entry_of(word));
    }
  }
  current_.store(larger.get(), std::memory_order_release);
  tables_.push_back(std::move(larger));
}

}  // namespace knap::cache
