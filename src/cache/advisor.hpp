#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <unordered_map>

#include "knap/base/mutex.hpp"

namespace knap::cache {

/// What caches of other sizes would have hit: small copies that see a sample of the keys, each as
/// much smaller as the sample is (miniature simulation: Waldspurger et al., 2017). They keep hashes
/// and sizes, no values, and forget what was asked for longest ago, which is close enough to the
/// real policy to compare sizes.
///
/// Threads: safe. Of 16 requests 15 cost one comparison.
class SizeAdvisor {
 public:
  static constexpr std::array kFactors{.5, 1.0, 2.0, 4.0};
  explicit SizeAdvisor(std::uint64_t capacity_bytes);

  /// A value was asked for, whether or not it was found.
  void asked(std::uint64_t hash) KNAP_EXCLUDES(mutex_);
  void came(std::uint64_t hash, std::uint64_t bytes) KNAP_EXCLUDES(mutex_);
  void clear() KNAP_EXCLUDES(mutex_);

  struct Advice {
    double factor = 1;
    std::uint64_t bytes = 0;  ///< A cache of that size ...
    std::uint64_t hits = 0;   ///< ... would have hit so many of `asked`.
  };
  struct Report {
    std::uint64_t asked = 0;  ///< Of the sample.
    std::array<Advice, kFactors.size()> sizes;
  };
  Report report() const KNAP_EXCLUDES(mutex_);

 private:
  static constexpr std::uint64_t kSampleShare = 16;
  /// Bounds the memory of a copy to a few megabytes.
  static constexpr std::size_t kEntriesMax = 32'768;

  struct Entry {
    std::uint64_t hash = 0, bytes = 0;
  };
  struct Copy {
    std::uint64_t capacity = 0, bytes = 0, hits = 0;
    std::list<Entry> entries;  ///< The last asked for first.
    std::unordered_map<std::uint64_t, std::list<Entry>::iterator> places;
  };
  /// Bits by which neither shard nor place in the table are chosen.
  static bool sampled(std::uint64_t hash) { return (hash >> 44) % kSampleShare == 0; }

  const std::uint64_t capacity_;
  mutable Mutex mutex_;
  std::uint64_t asked_ KNAP_GUARDED_BY(mutex_) = 0;
  std::array<Copy, kFactors.size()> copies_ KNAP_GUARDED_BY(mutex_);
};

}  // namespace knap::cache
