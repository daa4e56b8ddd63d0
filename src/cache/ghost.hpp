#pragma once

#include <cstdint>
#include <vector>

namespace knap::cache {

/// Remembers keys that left a cache, by hash, with how often they had been asked for: the ghost
/// queue of S3-FIFO, with counts.
///
/// A table of four-place sets instead of a queue: eight bytes a key, no links. A key is forgotten
/// when as many others as the list may hold have come after it, or when its set is full of newer
/// ones. Two keys are confused once in 2^32: that makes a poor guess, never a wrong value.
///
/// Threads: one at a time.
class GhostList {
 public:
  /// Times a key was asked for, as of the age at which that was counted.
  struct Count {
    std::uint8_t value = 0, age = 0;
  };

  /// The count of a key, which is forgotten. Zero: unknown.
  Count take(std::uint64_t hash);
  void put(std::uint64_t hash, Count count);
  /// How many keys are worth remembering. Making it larger forgets all.
  void set_capacity(std::uint32_t keys);
  std::uint32_t capacity() const { return capacity_; }
  void clear();

 private:
  static constexpr std::size_t kWays = 4;
  struct Place {
    std::uint32_t print = 0;  ///< Of the hash; meaningful when `when` is not 0.
    std::uint32_t when = 0;   ///< Number of the put; 0: empty.
    Count count;
  };
  Place* set_of(std::uint64_t hash) { return &places_[((hash >> 8) & mask_) * kWays]; }
  bool live(const Place& place) const { return place.when != 0 && now_ - place.when <= capacity_; }

  std::vector<Place> places_;
  std::size_t mask_ = 0;
  std::uint32_t capacity_ = 0, now_ = 0;
};

}  // namespace knap::cache
