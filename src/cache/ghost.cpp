#include "ghost.hpp"

#include <algorithm>
#include <bit>

namespace knap::cache {
namespace {

std::uint32_t print_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32); }

}  // namespace

GhostList::Count GhostList::take(std::uint64_t hash) {
  if (places_.empty()) return {};
  Place* set = set_of(hash);
  for (std::size_t i = 0; i < kWays; ++i) {
    if (!live(set[i]) || set[i].print != print_of(hash)) continue;
    set[i].when = 0;
    return set[i].count;
  }
  return {};
}

void GhostList::put(std::uint64_t hash, Count count) {
  if (places_.empty()) return;
  Place* set = set_of(hash);
  Place* oldest = set;
  for (std::size_t i = 0; i < kWays; ++i) {
    if (!live(set[i]) || set[i].print == print_of(hash)) {
      oldest = &set[i];
      break;
    }
    if (now_ - set[i].when > now_ - oldest->when) oldest = &set[i];
  }
  if (++now_ == 0) now_ = 1;
  *oldest = {print_of(hash), now_, count};
}

void GhostList::set_capacity(std::uint32_t keys) {
  // Half full on average, so that a set seldom overflows.
  const std::size_t sets = std::bit_ceil(std::max<std::size_t>(16, keys * 2ULL / kWays));
  if (sets > mask_ + 1 || places_.empty()) {
    places_.assign(sets * kWays, {});
    mask_ = sets - 1;
  }
  capacity_ = keys;
}

void GhostList::clear() { std::fill(places_.begin(), places_.end(), Place{}); }

}  // namespace knap::cache
