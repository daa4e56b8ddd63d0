#include "filter_dates.hpp"

#include <charconv>
#include <chrono>

namespace knap::search {
namespace {

constexpr std::int64_t kDay = 86'400;

std::optional<int> digits(std::string_view text, std::size_t at, std::size_t count) {
  if (at + count > text.size()) return std::nullopt;
  int value = 0;
  for (std::size_t i = at; i < at + count; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

std::optional<std::int64_t> start_of(int year, int month, int day) {
  const std::chrono::year_month_day date{std::chrono::year{year},
                                         std::chrono::month{static_cast<unsigned>(month)},
                                         std::chrono::day{static_cast<unsigned>(day)}};
  if (!date.ok()) return std::nullopt;
  return std::int64_t{std::chrono::sys_days{date}.time_since_epoch().count()} * kDay;
}

std::int64_t start_of_day(std::int64_t time) { return time - ((time % kDay) + kDay) % kDay; }

/// "10:30" or "10:30:00" after a date.
std::optional<TimeSpan> parse_clock(std::string_view text, std::int64_t day) {
  const auto hour = digits(text, 0, 2), minute = digits(text, 3, 2);
  if (!hour || !minute || text[2] != ':' || *hour > 23 || *minute > 59) return std::nullopt;
  const std::int64_t begin = day + *hour * 3600 + *minute * 60;
  if (text.size() == 5) return TimeSpan{begin, begin + 60};
  const auto second = digits(text, 6, 2);
  if (text[5] != ':' || !second || *second > 60) return std::nullopt;
  return TimeSpan{begin + *second, begin + *second + 1};
}

/// "7d", "36h", "2w", "3m", "1y": so many seconds.
std::optional<std::int64_t> parse_age(std::string_view text) {
  if (text.size() < 2 || text.size() > 6) return std::nullopt;
  const auto count = digits(text, 0, text.size() - 1);
  if (!count) return std::nullopt;
  switch (text.back()) {
    case 'h': return std::int64_t{*count} * 3600;
    case 'd': return std::int64_t{*count} * kDay;
    case 'w': return std::int64_t{*count} * 7 * kDay;
    case 'm': return std::int64_t{*count} * 30 * kDay;
    case 'y': return std::int64_t{*count} * 365 * kDay;
    default: return std::nullopt;
  }
}

/// One end of a range or what follows a comparison.
std::optional<TimeSpan> parse_point(std::string_view text, std::int64_t now_s) {
  const std::int64_t today = start_of_day(now_s);
  if (text == "today") return TimeSpan{today, today + kDay};
  if (text == "yesterday") return TimeSpan{today - kDay, today};
  if (const auto age = parse_age(text)) return TimeSpan{now_s - *age, now_s - *age};
  return parse_date(text);
}

}  // namespace

std::optional<TimeSpan> parse_date(std::string_view text) {
  const auto year = digits(text, 0, 4);
  if (!year || *year == 0) return std::nullopt;
  const auto span = [](std::optional<std::int64_t> begin,
                       std::optional<std::int64_t> end) -> std::optional<TimeSpan> {
    if (!begin || !end) return std::nullopt;
    return TimeSpan{*begin, *end};
  };
  if (text.size() == 4) return span(start_of(*year, 1, 1), start_of(*year + 1, 1, 1));
  const auto month = digits(text, 5, 2);
  if (text[4] != '-' || !month) return std::nullopt;
  if (text.size() == 7)
    return span(start_of(*year, *month, 1),
                *month == 12 ? start_of(*year + 1, 1, 1) : start_of(*year, *month + 1, 1));
  const auto day = digits(text, 8, 2);
  if (text[7] != '-' || !day) return std::nullopt;
  const auto begin = start_of(*year, *month, *day);
  if (!begin) return std::nullopt;
  if (text.size() == 10) return TimeSpan{*begin, *begin + kDay};
  if ((text[10] != 'T' && text[10] != 't' && text[10] != ' ') ||
      (text.size() != 16 && text.size() != 19))
    return std::nullopt;
  return parse_clock(text.substr(11), *begin);
}

std::optional<TimeSpan> parse_time_span(std::string_view text, std::int64_t now_s) {
  if (const auto dots = text.find(".."); dots != std::string_view::npos) {
    const std::string_view from = text.substr(0, dots), to = text.substr(dots + 2);
    if (from.empty() && to.empty()) return std::nullopt;
    TimeSpan span;
    if (!from.empty()) {
      const auto begin = parse_point(from, now_s);
      if (!begin) return std::nullopt;
      span.begin = begin->begin;
    }
    if (!to.empty()) {
      const auto end = parse_point(to, now_s);
      if (!end) return std::nullopt;
      span.end = end->end;
    }
    return span;
  }
  const auto after = [&](std::size_t count) { return parse_point(text.substr(count), now_s); };
  TimeSpan span;
  if (text.starts_with(">=")) {
    const auto point = after(2);
    if (!point) return std::nullopt;
    span.begin = point->begin;
  } else if (text.starts_with("<=")) {
    const auto point = after(2);
    if (!point) return std::nullopt;
    span.end = point->end;
  } else if (text.starts_with(">")) {
    const auto point = after(1);
    if (!point) return std::nullopt;
    span.begin = point->end;
  } else if (text.starts_with("<")) {
    const auto point = after(1);
    if (!point) return std::nullopt;
    span.end = point->begin;
  } else if (const auto age = parse_age(text)) {
    span.begin = now_s - *age;
  } else {
    return parse_point(text, now_s);
  }
  return span;
}

}  // namespace knap::search
