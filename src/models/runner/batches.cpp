#include "runner/batches.hpp"

#include <algorithm>
#include <numeric>

namespace knap::models::runner {

std::vector<std::vector<std::size_t>> make_batches(std::span<const std::size_t> lengths,
                                                   std::size_t token_budget) {
  std::vector<std::size_t> order(lengths.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return lengths[i]; });
  std::vector<std::vector<std::size_t>> batches;
  for (const std::size_t index : order) {
    // Sorted: the newest is the longest, all others are padded to it.
    if (batches.empty() || (batches.back().size() + 1) * lengths[index] > token_budget)
      batches.emplace_back();
    batches.back().push_back(index);
  }
  return batches;
}

}  // namespace knap::models::runner
