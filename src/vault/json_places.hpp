#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace knap::vault {

/// Where the parts of a JSON text stand, which Boost.JSON does not tell: for each element of the
/// top-level array `array` the 1-based line of its field `key`, or of the element's beginning when
/// it has no such field.
/// @param json  a text that Boost.JSON has accepted
/// @return at most `limit` lines
std::vector<std::uint32_t> field_lines(std::string_view json, std::string_view array,
                                       std::string_view key, std::size_t limit);

}  // namespace knap::vault
