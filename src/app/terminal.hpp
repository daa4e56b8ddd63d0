#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "knap/base/deadline.hpp"

namespace knap::app {

/// Colours and a progress line, on a terminal only; NO_COLOR is respected.
class Terminal {
 public:
  enum class Stream { kOut, kError };
  explicit Terminal(Stream stream);

  bool is_terminal() const { return is_terminal_; }
  std::string bold(std::string_view text) const { return style("1", text); }
  std::string dim(std::string_view text) const { return style("2", text); }
  std::string good(std::string_view text) const { return style("32", text); }
  std::string bad(std::string_view text) const { return style("31", text); }
  std::string accent(std::string_view text) const { return style("36", text); }

 private:
  std::string style(std::string_view code, std::string_view text) const;
  bool is_terminal_ = false;
  bool colours_ = false;
};

/// One line that is drawn over: "scan   [=====>    ]  62 %  4,100 of 6,537  1,520/s  2 s left". Ten
/// times a second at most; without a terminal nothing but finish()'s line.
class ProgressLine {
 public:
  ProgressLine();
  ~ProgressLine();
  void update(std::string_view phase, std::uint64_t done, std::uint64_t total, double per_second,
              std::chrono::seconds left);
  void clear();

 private:
  Terminal terminal_;
  SteadyClock::time_point drawn_{};
  bool visible_ = false;
};

/// 6537 -> "6,537"; 1117320768 bytes -> "1.1 GB".
std::string grouped(std::uint64_t number);
std::string bytes_text(std::uint64_t bytes);

/// Control characters (but line breaks) removed: notes must not drive the terminal.
std::string printable(std::string_view text);

}  // namespace knap::app
