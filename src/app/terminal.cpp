#include "terminal.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include <fmt/format.h>

namespace knap::app {

Terminal::Terminal(Stream stream) {
  is_terminal_ = ::isatty(stream == Stream::kOut ? STDOUT_FILENO : STDERR_FILENO) == 1;
  const char* no_colour = std::getenv("NO_COLOR");
  colours_ = is_terminal_ && (no_colour == nullptr || *no_colour == '\0');
}

std::string Terminal::style(std::string_view code, std::string_view text) const {
  return colours_ ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : std::string(text);
}

ProgressLine::ProgressLine() : terminal_(Terminal::Stream::kError) {}
ProgressLine::~ProgressLine() { clear(); }

void ProgressLine::update(std::string_view phase, std::uint64_t done, std::uint64_t total,
                          double per_second, std::chrono::seconds left) {
  constexpr int kWidth = 24;
  constexpr auto kInterval = std::chrono::milliseconds(100);
  if (!terminal_.is_terminal()) return;
  const auto now = SteadyClock::now();
  if (visible_ && now - drawn_ < kInterval) return;
  drawn_ = now;
  visible_ = true;
  const double share =
      total == 0 ? 1.0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const int filled = static_cast<int>(share * kWidth);
  std::string bar(static_cast<std::size_t>(filled), '=');
  bar.resize(kWidth, ' ');
  std::string line = fmt::format("\r\x1b[K{:<9}[{}] {:3.0f} %  {} of {}", phase, bar, share * 100,
                                 grouped(done), grouped(total));
  if (per_second > 0)
    line += fmt::format("  {}/s", grouped(static_cast<std::uint64_t>(per_second)));
  if (left.count() > 0) line += fmt::format("  {} s left", left.count());
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
}

void ProgressLine::clear() {
  if (!visible_) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
  visible_ = false;
}

std::string grouped(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::string bytes_text(std::uint64_t bytes) {
  constexpr std::array kUnits = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n' || (byte >= 0x20 && byte != 0x7F)) out += c;
    if (c == '\t') out += ' ';
  }
  return out;
}

}  // namespace knap::app
