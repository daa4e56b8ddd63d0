#include <fmt/format.h>

#include <algorithm>

#include "knap/base/assert.hpp"
#include "runner/json_grammar.hpp"

namespace knap::models::runner {
namespace {

constexpr std::int64_t kLargest = 1'000'000'000'000'000;

std::string any_digits(std::size_t count) {
  if (count == 0) return {};
  return count == 1 ? " [0-9]" : fmt::format(" [0-9]{{{}}}", count);
}

std::string digit_range(char first, char last) {
  return first == last ? fmt::format("[{}]", first) : fmt::format("[{}-{}]", first, last);
}

enum class Side { kAtLeast, kAtMost };

// Digit strings as long as `bound` and not below it, or not above it. Depth: its digits.
std::string beside(std::string_view bound, Side side) {
  if (bound.empty()) return {};
  const char edge = side == Side::kAtLeast ? '9' : '0';
  const std::string rest = beside(bound.substr(1), side);
  std::string same = fmt::format("[{}]{}", bound[0], rest);
  if (bound[0] == edge) return " " + same;
  const std::string inner = side == Side::kAtLeast
                                ? digit_range(static_cast<char>(bound[0] + 1), edge)
                                : digit_range(edge, static_cast<char>(bound[0] - 1));
  return fmt::format(" ({} | {}{})", same, inner, any_digits(bound.size() - 1));
}

// Digit strings of one length from `low` to `high`.
std::string between(std::string_view low, std::string_view high) {
  if (low.empty()) return {};
  const std::string_view low_rest = low.substr(1);
  const std::string_view high_rest = high.substr(1);
  if (low[0] == high[0]) return fmt::format(" [{}]{}", low[0], between(low_rest, high_rest));
  std::string out = fmt::format(" ([{}]{} | [{}]{}", low[0], beside(low_rest, Side::kAtLeast),
                                high[0], beside(high_rest, Side::kAtMost));
  if (low[0] + 1 < high[0]) {
    out += fmt::format(" | {}{}",
                       digit_range(static_cast<char>(low[0] + 1), static_cast<char>(high[0] - 1)),
                       any_digits(low_rest.size()));
  }
  return out + ")";
}

void add_not_negative(std::int64_t min, std::int64_t max, const char* sign,
                      std::string& alternatives) {
  for (std::int64_t low = min; low <= max;) {
    std::int64_t above = 10;  // the first number with more digits
    while (above <= low) above *= 10;
    const std::int64_t high = std::min(max, above - 1);
    if (!alternatives.empty()) alternatives += " | ";
    alternatives += sign + between(std::to_string(low), std::to_string(high)).substr(1);
    low = high + 1;
  }
}

}  // namespace

std::string integer_range_grammar(std::int64_t min, std::int64_t max) {
  KNAP_ASSERT(min >= -kLargest && max <= kLargest);
  std::string alternatives;
  if (min < 0) add_not_negative(std::max<std::int64_t>(1, -max), -min, "\"-\" ", alternatives);
  if (max >= 0) add_not_negative(std::max<std::int64_t>(0, min), max, "", alternatives);
  return alternatives;
}

}  // namespace knap::models::runner
