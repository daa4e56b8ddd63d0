#include <array>

#include "front_matter.hpp"
#include "knap/base/text.hpp"

namespace knap::vault {
namespace {

std::optional<int> digits(std::string_view text, std::size_t at, std::size_t count) {
  if (at + count > text.size()) return std::nullopt;
  int value = 0;
  for (std::size_t i = at; i < at + count; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  return value;
}

int days_in(int year, int month) {
  constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : kDays[static_cast<std::size_t>(month - 1)];
}

/// "", "Z", "+02:00", "-0500", ".123" and ".123Z" behind a time.
bool is_fraction_or_zone(std::string_view text) {
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    while (!text.empty() && text[0] >= '0' && text[0] <= '9') text.remove_prefix(1);
  }
  text = text::trim(text);
  if (text.empty() || text == "Z" || text == "z") return true;
  if (text[0] != '+' && text[0] != '-') return false;
  return text.size() <= 6 && text.find_first_not_of("0123456789:", 1) == std::string_view::npos;
}

}  // namespace

std::optional<DateTime> parse_date_time(std::string_view text) {
  if (text.size() < 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto year = digits(text, 0, 4);
  const auto month = digits(text, 5, 2);
  const auto day = digits(text, 8, 2);
  if (!year || !month || !day || *month < 1 || *month > 12 || *day < 1 ||
      *day > days_in(*year, *month))
    return std::nullopt;
  DateTime value{.year = static_cast<std::int16_t>(*year),
                 .month = static_cast<std::uint8_t>(*month),
                 .day = static_cast<std::uint8_t>(*day)};
  if (text.size() == 10) return value;
  if ((text[10] != 'T' && text[10] != 't' && text[10] != ' ') || text.size() < 16 ||
      text[13] != ':')
    return std::nullopt;
  const auto hour = digits(text, 11, 2);
  const auto minute = digits(text, 14, 2);
  if (!hour || !minute || *hour > 23 || *minute > 59) return std::nullopt;
  value.has_time = true;
  value.hour = static_cast<std::uint8_t>(*hour);
  value.minute = static_cast<std::uint8_t>(*minute);
  std::string_view rest = text.substr(16);
  if (rest.starts_with(':')) {
    const auto second = digits(rest, 1, 2);
    if (!second || *second > 59) return std::nullopt;
    value.second = static_cast<std::uint8_t>(*second);
    rest.remove_prefix(3);
  }
  if (!is_fraction_or_zone(rest)) return std::nullopt;
  return value;
}

}  // namespace knap::vault
