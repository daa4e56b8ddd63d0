#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "knap/base/result.hpp"

namespace knap::http {

/// More parameters than this in one query are refused: nothing of ours needs more than a dozen.
inline constexpr std::size_t kMaxQueryParameters = 100;

struct Target {
  std::string path;  ///< Percent-decoded, valid UTF-8, without NUL; "*" for OPTIONS *.
  std::vector<std::pair<std::string, std::string>> query;
  std::string authority;  ///< Of an absolute target ("http://host/path"); else empty.
};

/// Reads a request target. Errors: kInvalidArgument saying what is wrong, without quoting it.
Result<Target> parse_target(std::string_view target);

enum class PlusSign { kIsPlus, kIsSpace };
/// Nothing for broken escapes, NUL and text that is not UTF-8.
std::optional<std::string> percent_decode(std::string_view text, PlusSign plus);

}  // namespace knap::http
