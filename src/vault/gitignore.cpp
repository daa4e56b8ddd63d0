#include "gitignore.hpp"

#include <algorithm>

namespace knap::vault {
namespace {

/// Matches "[a-z]" at the start of `pattern` against `c`; sets `length` to the class's bytes, 0: no
/// class.
bool match_class(std::string_view pattern, unsigned char c, std::size_t& length) {
  std::size_t i = 1;
  bool negated = false;
  if (i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^')) {
    negated = true;
    ++i;
  }
  bool found = false;
  for (bool first = true; i < pattern.size() && (first || pattern[i] != ']'); first = false) {
    if (pattern[i] == '\\' && i + 1 < pattern.size()) ++i;
    const auto low = static_cast<unsigned char>(pattern[i++]);
    auto high = low;
    if (i + 1 < pattern.size() && pattern[i] == '-' && pattern[i + 1] != ']') {
      high = static_cast<unsigned char>(pattern[i + 1]);
      i += 2;
    }
    found = found || (c >= low && c <= high);
  }
  length = i < pattern.size() ? i + 1 : 0;
  return found != negated && c != '/';
}

}  // namespace

bool IgnorePatterns::glob(std::string_view pattern, std::string_view text) {
  // Set of pattern positions reachable after each byte of text: no backtracking, whatever the
  // pattern.
  const std::size_t n = pattern.size();
  std::vector<char> now(n + 1, 0);
  std::vector<char> next(n + 1, 0);
  const auto reach = [&](auto& self, std::vector<char>& set, std::size_t at,
                         bool at_part_start) -> void {
    while (at <= n && !set[at]) {
      set[at] = 1;
      if (at >= n || pattern[at] != '*') return;
      if (pattern.substr(at, 2) == "**") {
        // "**/" may stand for no folder at all.
        if (at_part_start && pattern.substr(at, 3) == "**/") self(self, set, at + 3, true);
        at += 2;
      } else {
        ++at;
      }
    }
  };
  reach(reach, now, 0, true);
  for (std::size_t t = 0; t < text.size(); ++t) {
    std::fill(next.begin(), next.end(), 0);
    const char c = text[t];
    const bool part_start = c == '/';
    for (std::size_t p = 0; p < n; ++p) {
      if (!now[p]) continue;
      if (pattern.substr(p, 2) == "**") {
        reach(reach, next, p, part_start);
        continue;
      }
      switch (pattern[p]) {
        case '*':
          if (c != '/') reach(reach, next, p, part_start);
          break;
        case '?':
          if (c != '/') reach(reach, next, p + 1, part_start);
          break;
        case '[': {
          std::size_t length = 0;
          const bool matched =
              match_class(pattern.substr(p), static_cast<unsigned char>(c), length);
          if (length > 0 ? matched : c == '[')
            reach(reach, next, p + std::max<std::size_t>(length, 1), part_start);
          break;
        }
        case '\\':
          if (p + 1 < n && pattern[p + 1] == c) reach(reach, next, p + 2, part_start);
          break;
        default:
          if (pattern[p] == c) reach(reach, next, p + 1, part_start);
          break;
      }
    }
    now.swap(next);
  }
  return now[n] != 0;
}

std::size_t IgnorePatterns::load(std::string_view text) {
  std::size_t left_out = 0;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  for (std::uint32_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    while (line.ends_with(' ') && !line.ends_with("\\ ")) line.remove_suffix(1);
    if (line.empty() || line[0] == '#') continue;
    Pattern pattern{.line = number};
    if (line[0] == '!') {
      pattern.negated = true;
      line.remove_prefix(1);
    }
    if (line.ends_with('/')) {
      pattern.folders_only = true;
      line.remove_suffix(1);
    }
    pattern.name_only = line.find('/') == std::string_view::npos;
    if (line.starts_with('/')) line.remove_prefix(1);
    if (line.empty()) continue;
    if (line.size() > kPatternBytesMax || patterns_.size() == kPatternsMax) {
      ++left_out;
      continue;
    }
    pattern.glob = std::string(line);
    patterns_.push_back(std::move(pattern));
  }
  return left_out;
}

std::uint32_t IgnorePatterns::match(std::string_view path, bool folder) const {
  const std::string_view name = path.substr(path.rfind('/') + 1);
  for (auto pattern = patterns_.rbegin(); pattern != patterns_.rend(); ++pattern) {
    if (pattern->folders_only && !folder) continue;
    if (glob(pattern->glob, pattern->name_only ? name : path))
      return pattern->negated ? 0 : pattern->line;
  }
  return 0;
}

}  // namespace knap::vault
