#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "knap/index/service.hpp"

namespace knap::index {

/// Puts the first hits, whose scores have changed, in order again. Notes that have the name asked
/// for stay first; scores fall from hit to hit over all of them, as people expect them to.
inline void order_again(std::vector<SearchHit>& hits, std::size_t count) {
  std::stable_sort(hits.begin(), hits.begin() + static_cast<std::ptrdiff_t>(count),
                   [](const SearchHit& a, const SearchHit& b) {
                     const bool named = a.hit.parts.prior > 0, other_named = b.hit.parts.prior > 0;
                     return named != other_named ? named : a.hit.score > b.hit.score;
                   });
  for (std::size_t i = hits.size(); i-- > 1;)
    hits[i - 1].hit.score = std::max(hits[i - 1].hit.score, hits[i].hit.score);
}

}  // namespace knap::index
