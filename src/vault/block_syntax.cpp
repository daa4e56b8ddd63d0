#include "block_syntax.hpp"

#include <algorithm>
#include <array>

#include "knap/base/text.hpp"

namespace knap::vault::syntax {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_white(char c) { return c == ' ' || c == '\t'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

}  // namespace

Indent indent_of(std::string_view line) {
  Indent indent;
  for (const char c : line) {
    if (c == ' ') {
      ++indent.columns;
    } else if (c == '\t') {
      indent.columns += 4 - indent.columns % 4;
    } else {
      break;
    }
    ++indent.bytes;
  }
  return indent;
}

bool is_blank(std::string_view line) {
  return std::all_of(line.begin(), line.end(),
                     [](char c) { return is_white(c) || c == '\r' || c == '\f' || c == '\v'; });
}

std::string_view trim_left(std::string_view line) { return line.substr(indent_of(line).bytes); }

std::optional<AtxHeading> atx_heading(std::string_view line) {
  const Indent indent = indent_of(line);
  if (indent.columns > 3) return std::nullopt;
  std::size_t i = indent.bytes;
  while (i < line.size() && line[i] == '#') ++i;
  const std::size_t level = i - indent.bytes;
  if (level < 1 || level > 6 || (i < line.size() && !is_white(line[i]))) return std::nullopt;
  while (i < line.size() && is_white(line[i])) ++i;
  return AtxHeading{.level = static_cast<std::uint8_t>(level), .content = i};
}

std::uint8_t setext_underline(std::string_view line) {
  if (indent_of(line).columns > 3) return 0;
  const std::string_view mark = text::trim(line);
  if (mark.empty() || (mark[0] != '=' && mark[0] != '-')) return 0;
  if (mark.find_first_not_of(mark[0]) != std::string_view::npos) return 0;
  return mark[0] == '=' ? 1 : 2;
}

bool is_thematic_break(std::string_view line) {
  const Indent indent = indent_of(line);
  if (indent.columns > 3 || indent.bytes == line.size()) return false;
  const char mark = line[indent.bytes];
  if (mark != '-' && mark != '*' && mark != '_') return false;
  std::size_t count = 0;
  for (const char c : line.substr(indent.bytes)) {
    if (c == mark) {
      ++count;
    } else if (!is_white(c)) {
      return false;
    }
  }
  return count >= 3;
}

std::optional<Fence> opening_fence(std::string_view line) {
  const Indent indent = indent_of(line);
  const std::string_view rest = line.substr(indent.bytes);
  if (rest.size() < 3 || (rest[0] != '`' && rest[0] != '~')) return std::nullopt;
  const std::size_t length = std::min(rest.find_first_not_of(rest[0]), rest.size());
  if (length < 3) return std::nullopt;
  if (rest[0] == '`' && rest.find('`', length) != std::string_view::npos) return std::nullopt;
  return Fence{.mark = rest[0], .length = length, .indent_columns = indent.columns};
}

bool closes_fence(std::string_view line, const Fence& fence) {
  const std::string_view mark = text::trim(line);
  return mark.size() >= fence.length && mark[0] == fence.mark &&
         mark.find_first_not_of(fence.mark) == std::string_view::npos;
}

std::optional<ListMark> list_mark(std::string_view line) {
  const Indent indent = indent_of(line);
  std::size_t i = indent.bytes;
  if (i == line.size()) return std::nullopt;
  ListMark mark{.indent_columns = indent.columns};
  if (line[i] == '-' || line[i] == '*' || line[i] == '+') {
    ++i;
  } else if (is_digit(line[i])) {
    // CommonMark's limit of nine digits keeps years of prose from looking like items for long.
    while (i < line.size() && is_digit(line[i]) && i - indent.bytes < 9) ++i;
    if (i == line.size() || (line[i] != '.' && line[i] != ')')) return std::nullopt;
    mark.ordered = true;
    mark.starts_with_one = line.substr(indent.bytes, i - indent.bytes) == "1";
    ++i;
  } else {
    return std::nullopt;
  }
  if (i < line.size() && !is_white(line[i])) return std::nullopt;
  const std::size_t mark_columns = indent.columns + (i - indent.bytes);
  const Indent gap = indent_of(line.substr(i));
  mark.empty = i + gap.bytes == line.size();
  mark.content = i + gap.bytes;
  mark.content_columns = mark_columns + (mark.empty || gap.columns > 4 ? 1 : gap.columns);
  return mark;
}

std::optional<TaskMark> task_mark(std::string_view item) {
  if (item.size() < 3 || item[0] != '[') return std::nullopt;
  std::size_t i = 1;
  const char32_t state = text::decode(item, i);
  if (i >= item.size() || item[i] != ']' || state == U']' || state == U'[') return std::nullopt;
  ++i;
  if (i < item.size() && !is_white(item[i])) return std::nullopt;
  while (i < item.size() && is_white(item[i])) ++i;
  return TaskMark{.state = state, .content = i};
}

std::size_t quote_prefix(std::string_view line) {
  const Indent indent = indent_of(line);
  if (indent.columns > 3 || indent.bytes == line.size() || line[indent.bytes] != '>') return 0;
  const std::size_t after = indent.bytes + 1;
  return after < line.size() && is_white(line[after]) ? after + 1 : after;
}

std::size_t callout_prefix(std::string_view quoted) {
  std::size_t i = indent_of(quoted).bytes;
  if (quoted.substr(i, 2) != "[!") return 0;
  const std::size_t close = quoted.find(']', i);
  if (close == std::string_view::npos || close == i + 2) return 0;
  i = close + 1;
  if (i < quoted.size() && (quoted[i] == '-' || quoted[i] == '+')) ++i;
  if (i < quoted.size() && !is_white(quoted[i])) return 0;
  while (i < quoted.size() && is_white(quoted[i])) ++i;
  return i;
}

bool is_table_delimiter(std::string_view line) {
  bool dash = false;
  bool pipe = false;
  for (const char c : line) {
    if (c == '-') {
      dash = true;
    } else if (c == '|') {
      pipe = true;
    } else if (c != ':' && !is_white(c)) {
      return false;
    }
  }
  return dash && pipe;
}

std::size_t footnote_prefix(std::string_view line) {
  std::size_t i = indent_of(line).bytes;
  if (i > 3 || line.substr(i, 2) != "[^") return 0;
  const std::size_t close = line.find_first_of("] \t[", i + 2);
  if (close == std::string_view::npos || line[close] != ']' || close == i + 2) return 0;
  if (close + 1 >= line.size() || line[close + 1] != ':') return 0;
  i = close + 2;
  while (i < line.size() && is_white(line[i])) ++i;
  return i;
}

std::optional<LinkDefinition> link_definition(std::string_view line) {
  const Indent indent = indent_of(line);
  if (indent.columns > 3) return std::nullopt;
  line.remove_prefix(indent.bytes);
  if (line.size() < 5 || line[0] != '[' || line[1] == '^') return std::nullopt;
  const std::size_t close = line.find_first_of("[]", 1);
  if (close == std::string_view::npos || line[close] != ']' || close == 1) return std::nullopt;
  if (close + 1 >= line.size() || line[close + 1] != ':') return std::nullopt;
  std::string_view rest = text::trim(line.substr(close + 2));
  if (rest.empty()) return std::nullopt;
  LinkDefinition definition{.label = line.substr(1, close - 1)};
  if (rest[0] == '<') {
    const std::size_t end = rest.find('>');
    if (end == std::string_view::npos) return std::nullopt;
    definition.destination = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
  } else {
    const std::size_t end = std::min(rest.find_first_of(" \t"), rest.size());
    definition.destination = rest.substr(0, end);
    rest.remove_prefix(end);
  }
  rest = text::trim(rest);
  const bool titled = rest.size() >= 2 && ((rest.front() == '"' && rest.back() == '"') ||
                                           (rest.front() == '\'' && rest.back() == '\'') ||
                                           (rest.front() == '(' && rest.back() == ')'));
  if (!rest.empty() && !titled) return std::nullopt;
  return definition;
}

std::optional<BlockId> trailing_block_id(std::string_view line) {
  std::size_t end = line.size();
  while (end > 0 && is_white(line[end - 1])) --end;
  std::size_t begin = end;
  const auto is_id = [](char c) {
    return is_digit(c) || c == '-' || (lower(c) >= 'a' && lower(c) <= 'z');
  };
  while (begin > 0 && is_id(line[begin - 1])) --begin;
  if (begin == end || begin == 0 || line[begin - 1] != '^') return std::nullopt;
  const std::size_t caret = begin - 1;
  if (caret > 0 && !is_white(line[caret - 1])) return std::nullopt;
  return BlockId{.id = line.substr(begin, end - begin), .begin = caret};
}

std::string_view hidden_html_element(std::string_view line) {
  constexpr std::array<std::string_view, 2> kElements = {"script", "style"};
  line = trim_left(line);
  if (line.size() < 2 || line[0] != '<') return {};
  for (const std::string_view element : kElements) {
    if (line.size() <= element.size() + 1) continue;
    const std::string_view name = line.substr(1, element.size());
    const char after = line[element.size() + 1];
    if (std::equal(name.begin(), name.end(), element.begin(),
                   [](char a, char b) { return lower(a) == b; }) &&
        (after == '>' || is_white(after))) {
      return element;
    }
  }
  return {};
}

}  // namespace knap::vault::syntax
