#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace knap::models::runner {

/// Groups texts of like length into steps: sorted by length, each step at most `token_budget`
/// tokens with its padding (a longer text stands alone), shortest first. Each index appears once.
std::vector<std::vector<std::size_t>> make_batches(std::span<const std::size_t> lengths,
                                                   std::size_t token_budget);

}  // namespace knap::models::runner
