#include <algorithm>

#include "document.hpp"

namespace knap::vault {

void split_lines(std::string_view text, Document& document) {
  const bool has_lf = text.find('\n') != std::string_view::npos;
  const char end = has_lf || text.find('\r') == std::string_view::npos ? '\n' : '\r';
  const auto ends = static_cast<std::size_t>(std::count(text.begin(), text.end(), end));
  document.lines.reserve(std::min(ends + 1, kLinesMax));
  while (!text.empty()) {
    if (document.lines.size() == kLinesMax) {
      document.truncated = true;
      return;
    }
    const std::size_t at = text.find(end);
    std::string_view line = text.substr(0, at);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    document.lines.push_back({.text = line});
    if (at == std::string_view::npos) return;
    text.remove_prefix(at + 1);
  }
}

}  // namespace knap::vault
