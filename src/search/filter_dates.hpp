#pragma once

#include <optional>
#include <string_view>

#include "filter_tree.hpp"

namespace knap::search {

/// What created: and modified: accept after the colon: a date, a range a..b with either end left
/// out, today, yesterday, an age such as 7d (the last seven days), or one of > >= < <= before a
/// date or an age.
std::optional<TimeSpan> parse_time_span(std::string_view text, std::int64_t now_s);

}  // namespace knap::search
