#pragma once

#include <algorithm>
#include <vector>

#include "runner/scheduler.hpp"

/// Counting of tokens that the parts of the scheduler have in common.
namespace knap::models::runner {

/// How many tokens both begin with.
inline std::size_t common_length(const std::vector<Token>& a, const std::vector<Token>& b) {
  return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

/// Of the prompt from `begin` on, the tokens in known parts.
inline std::size_t known_beyond(const Scheduler::Job& job, std::size_t begin) {
  std::size_t total = 0;
  for (const auto& part : job.known) total += part.begin >= begin ? part.length : 0;
  return total;
}

/// A known part is put in whole: a beginning that is shared ends before it or after it.
inline std::size_t without_half_part(const Scheduler::Job& job, std::size_t length) {
  for (const auto& part : job.known) {
    if (length > part.begin && length < part.begin + part.length) return part.begin;
  }
  return length;
}

}  // namespace knap::models::runner
