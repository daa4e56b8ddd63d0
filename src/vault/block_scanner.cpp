#include "block_scanner.hpp"

#include <algorithm>

#include "block_syntax.hpp"
#include "knap/base/text.hpp"

namespace knap::vault {

using syntax::is_blank;

BlockScanner::BlockScanner(Document& document, std::uint32_t max_nesting)
    : document_(document), max_nesting_(max_nesting) {}

std::string_view BlockScanner::rest(std::size_t i) const {
  const Line& line = document_.lines[i];
  return line.text.substr(std::min<std::size_t>(line.content, line.text.size()));
}

void BlockScanner::emit(const Scope& scope, BlockKind kind, std::size_t first, std::size_t last,
                        std::uint8_t level) {
  if (!scope.emit) return;
  document_.blocks.push_back({.kind = kind,
                              .level = level,
                              .first = static_cast<std::uint32_t>(first),
                              .last = static_cast<std::uint32_t>(last)});
}

void BlockScanner::scan(std::size_t begin, std::size_t end) {
  Scope scope{.end = end};
  scan_scope(begin, scope);
}

void BlockScanner::scan_scope(std::size_t begin, Scope& scope) {
  for (std::size_t i = begin; i < scope.end;) {
    const std::string_view line = rest(i);
    const std::size_t start = line.find_first_not_of(" \t");
    if (is_blank(line)) {
      document_.lines[i].kind = LineKind::kBlank;
      ++i;
      continue;
    }
    std::size_t next = i;
    // Ordinary prose is told by its first character; each other reader checks the rest of its own
    // syntax.
    switch (line[start]) {
      case '%': next = comment(i, scope); break;
      case '`':
      case '~': next = fenced_code(i, scope); break;
      case '$': next = math(i, scope); break;
      case '#': next = heading(i, scope); break;
      case '>': next = quote(i, scope); break;
      case '<': next = hidden_html(i, scope); break;
      case '[': next = footnote(i, scope); break;
      default: break;
    }
    if (next == i && syntax::is_thematic_break(line)) {
      document_.lines[i].kind = LineKind::kHidden;
      emit(scope, BlockKind::kHidden, i, i);
      next = i + 1;
    }
    if (next == i) next = indented_code(i, scope);
    if (next == i) next = list(i, scope);
    if (next == i) next = table(i, scope);
    if (next == i) next = paragraph(i, scope);
    i = next;
  }
}

std::size_t BlockScanner::comment(std::size_t i, Scope& scope) {
  const std::string_view line = rest(i);
  const std::size_t open = line.find("%%");
  if (open != syntax::indent_of(line).bytes || i >= scope.comment_dead) return i;
  // One that closes on its own line is inline.
  if (line.find("%%", open + 2) != std::string_view::npos) return i;
  for (std::size_t j = i + 1; j < scope.end; ++j) {
    const std::string_view text = rest(j);
    const std::size_t close = text.find("%%");
    if (close == std::string_view::npos) continue;
    for (std::size_t k = i; k < j; ++k) document_.lines[k].kind = LineKind::kHidden;
    Line& last = document_.lines[j];
    last.content += static_cast<std::uint32_t>(close + 2);
    if (is_blank(rest(j))) {
      last.kind = LineKind::kHidden;
      emit(scope, BlockKind::kHidden, i, j);
      return j + 1;
    }
    emit(scope, BlockKind::kHidden, i, j - 1);
    return j;
  }
  scope.comment_dead = i;
  return i;
}

std::size_t BlockScanner::hidden_html(std::size_t i, Scope& scope) {
  if (i >= scope.html_dead) return i;
  const std::string_view line = syntax::trim_left(rest(i));
  std::string end;
  if (line.starts_with("<!--")) {
    end = "-->";
  } else if (const std::string_view element = syntax::hidden_html_element(line); !element.empty()) {
    end = "</" + std::string(element);
  } else {
    return i;
  }
  for (std::size_t j = i; j < scope.end; ++j) {
    const std::string_view text = j == i ? line.substr(4) : rest(j);
    const std::size_t close = text.find(end);
    if (close == std::string_view::npos) continue;
    // A comment within one line of text is inline.
    if (j == i && !is_blank(text.substr(close + end.size())) && end == "-->") return i;
    for (std::size_t k = i; k <= j; ++k) document_.lines[k].kind = LineKind::kHidden;
    emit(scope, BlockKind::kHidden, i, j);
    return j + 1;
  }
  scope.html_dead = i;
  return i;
}

std::size_t BlockScanner::code_lines(std::size_t i, std::size_t owner_columns, const Scope& scope) {
  const auto fence = syntax::opening_fence(rest(i));
  const std::size_t strip = std::max(fence->indent_columns, owner_columns);
  document_.lines[i].kind = LineKind::kHidden;
  std::size_t j = i + 1;
  for (; j < scope.end; ++j) {
    const std::string_view text = rest(j);
    Line& line = document_.lines[j];
    const auto indent = syntax::indent_of(text);
    if (indent.columns < owner_columns && !is_blank(text)) return j;
    if (syntax::closes_fence(text, *fence)) {
      line.kind = LineKind::kHidden;
      return j + 1;
    }
    line.kind = LineKind::kCode;
    line.content += static_cast<std::uint32_t>(std::min(indent.bytes, strip));
  }
  return j;
}

std::size_t BlockScanner::fenced_code(std::size_t i, Scope& scope) {
  const auto fence = syntax::opening_fence(rest(i));
  if (!fence || fence->indent_columns > 3) return i;
  const std::size_t next = code_lines(i, 0, scope);
  emit(scope, BlockKind::kCode, i, next - 1);
  return next;
}

std::size_t BlockScanner::indented_code(std::size_t i, Scope& scope) {
  if (syntax::indent_of(rest(i)).columns < 4) return i;
  std::size_t last = i;
  for (std::size_t j = i; j < scope.end; ++j) {
    const std::string_view text = rest(j);
    if (is_blank(text)) continue;
    if (syntax::indent_of(text).columns < 4) break;
    last = j;
  }
  for (std::size_t j = i; j <= last; ++j) {
    Line& line = document_.lines[j];
    line.kind = LineKind::kCode;
    const std::string_view text = rest(j);
    if (!text.empty())
      line.content += text[0] == '\t'
                          ? 1
                          : std::min<std::uint32_t>(
                                4, static_cast<std::uint32_t>(syntax::indent_of(text).bytes));
  }
  emit(scope, BlockKind::kCode, i, last);
  return last + 1;
}

std::size_t BlockScanner::math(std::size_t i, Scope& scope) {
  const std::string_view line = rest(i);
  const auto indent = syntax::indent_of(line);
  if (line.substr(indent.bytes, 2) != "$$" || i >= scope.math_dead) return i;
  for (std::size_t j = i; j < scope.end; ++j) {
    const std::size_t from = j == i ? indent.bytes + 2 : 0;
    const std::string_view text = rest(j);
    const std::size_t close = text.find("$$", from);
    if (close == std::string_view::npos) continue;
    // Text after the end makes it inline math.
    if (!is_blank(text.substr(close + 2))) return i;
    for (std::size_t k = i; k <= j; ++k) document_.lines[k].kind = LineKind::kCode;
    document_.lines[i].content += static_cast<std::uint32_t>(indent.bytes);
    document_.lines[i].unit_start = true;
    emit(scope, BlockKind::kMath, i, j);
    return j + 1;
  }
  scope.math_dead = i;
  return i;
}

std::size_t BlockScanner::heading(std::size_t i, Scope& scope) {
  const auto found = syntax::atx_heading(rest(i));
  if (!found) return i;
  Line& line = document_.lines[i];
  line.kind = LineKind::kHeading;
  line.unit_start = true;
  line.content += static_cast<std::uint32_t>(found->content);
  emit(scope, BlockKind::kHeading, i, i, found->level);
  return i + 1;
}

std::size_t BlockScanner::quote(std::size_t i, Scope& scope) {
  if (syntax::quote_prefix(rest(i)) == 0 || scope.depth >= max_nesting_) return i;
  std::size_t end = i;
  bool text_before = false;
  std::optional<syntax::Fence> fence;
  for (; end < scope.end; ++end) {
    const std::string_view line = rest(end);
    const std::size_t prefix = syntax::quote_prefix(line);
    if (prefix == 0) {
      // A paragraph may go on without the mark.
      if (!text_before || is_blank(line) || interrupts_paragraph(end, scope)) break;
      continue;
    }
    document_.lines[end].content += static_cast<std::uint32_t>(prefix);
    const std::string_view inside = rest(end);
    if (fence) {
      if (syntax::closes_fence(inside, *fence)) fence.reset();
      text_before = false;
      continue;
    }
    fence = syntax::opening_fence(inside);
    text_before = !is_blank(inside) && !fence && !syntax::atx_heading(inside);
  }
  bool callout = false;
  Line& first = document_.lines[i];
  std::size_t begin = i;
  if (const std::size_t prefix = syntax::callout_prefix(rest(i)); prefix > 0) {
    callout = true;
    first.content += static_cast<std::uint32_t>(prefix);
    first.callout_title = true;
    first.unit_start = true;
    first.kind = LineKind::kText;
    ++begin;
  }
  Scope inner{.end = end, .depth = scope.depth + 1, .emit = false};
  scan_scope(begin, inner);
  emit(scope, callout ? BlockKind::kCallout : BlockKind::kQuote, i, end - 1);
  return end;
}

void BlockScanner::list_item(std::size_t i, std::size_t content) {
  Line& line = document_.lines[i];
  line.kind = LineKind::kText;
  line.unit_start = true;
  line.item_start = true;
  line.content += static_cast<std::uint32_t>(content);
  if (const auto task = syntax::task_mark(rest(i))) {
    line.task_state = task->state;
    line.content += static_cast<std::uint32_t>(task->content);
  } else if (const auto heading = syntax::atx_heading(rest(i))) {
    line.content += static_cast<std::uint32_t>(heading->content);
  }
}

std::size_t BlockScanner::list(std::size_t i, Scope& scope) {
  const auto first = syntax::list_mark(rest(i));
  if (!first || first->indent_columns > 3) return i;
  std::size_t last = i;
  std::size_t item_columns = first->content_columns;
  bool blank_before = false;
  for (std::size_t j = i; j < scope.end;) {
    const std::string_view line = rest(j);
    if (is_blank(line)) {
      document_.lines[j].kind = LineKind::kBlank;
      blank_before = true;
      ++j;
      continue;
    }
    const auto indent = syntax::indent_of(line);
    const auto mark = syntax::list_mark(line);
    if (mark && !syntax::is_thematic_break(line)) {
      item_columns = mark->content_columns;
      list_item(j, mark->content);
      last = j++;
      // "- ```" opens a fence on the item's own line.
      if (syntax::opening_fence(rest(last)) && rest(last).size() >= 3) {
        j = code_lines(last, item_columns, scope);
        last = j - 1;
      }
      blank_before = false;
      continue;
    }
    if (indent.columns < 2 && (blank_before || interrupts_paragraph(j, scope))) break;
    const std::size_t next = list_child(j, item_columns, scope);
    if (next == j) {
      Line& text = document_.lines[j];
      text.kind = LineKind::kText;
      text.unit_start = blank_before;
      text.content += static_cast<std::uint32_t>(indent.bytes);
      last = j++;
    } else {
      j = next;
      last = j - 1;
    }
    blank_before = false;
  }
  emit(scope, BlockKind::kList, i, last);
  return last + 1;
}

std::size_t BlockScanner::list_child(std::size_t i, std::size_t item_columns, Scope& scope) {
  const auto indent = syntax::indent_of(rest(i));
  const std::string_view text = rest(i).substr(indent.bytes);
  Line& line = document_.lines[i];
  Scope inner = scope;
  inner.emit = false;
  switch (text[0]) {
    case '`':
    case '~':
      if (!syntax::opening_fence(text)) return i;
      return code_lines(i, std::min(indent.columns, item_columns), inner);
    case '$': {
      const std::size_t next = math(i, inner);
      scope.math_dead = inner.math_dead;
      return next;
    }
    case '%': {
      const std::size_t next = comment(i, inner);
      scope.comment_dead = inner.comment_dead;
      return next;
    }
    case '>': {
      std::size_t prefix = 0;
      std::uint32_t depth = 0;
      std::string_view inside = text;
      for (std::size_t bytes = 0;
           depth < max_nesting_ && (bytes = syntax::quote_prefix(inside)) > 0; ++depth) {
        prefix += bytes;
        inside.remove_prefix(bytes);
      }
      line.content += static_cast<std::uint32_t>(indent.bytes + prefix);
      line.kind = LineKind::kText;
      if (const std::size_t callout = syntax::callout_prefix(inside); callout > 0) {
        line.content += static_cast<std::uint32_t>(callout);
        line.callout_title = line.unit_start = true;
      } else if (const auto mark = syntax::list_mark(inside)) {
        list_item(i, mark->content);
      }
      return i + 1;
    }
    case '#':
      if (const auto heading = syntax::atx_heading(text)) {
        line.kind = LineKind::kText;
        line.unit_start = true;
        line.content += static_cast<std::uint32_t>(indent.bytes + heading->content);
        return i + 1;
      }
      return i;
    default: return table(i, inner);
  }
}

bool BlockScanner::table_starts(std::size_t i, const Scope& scope) const {
  if (i + 1 >= scope.end || rest(i).find('|') == std::string_view::npos) return false;
  std::string_view next = rest(i + 1);
  return syntax::is_table_delimiter(next) && !syntax::is_table_delimiter(rest(i));
}

std::size_t BlockScanner::table(std::size_t i, Scope& scope) {
  if (!table_starts(i, scope)) return i;
  std::size_t j = i;
  for (; j < scope.end; ++j) {
    const std::string_view text = rest(j);
    if (is_blank(text) ||
        (j > i + 1 && text.find('|') == std::string_view::npos && interrupts_paragraph(j, scope)))
      break;
    if (j > i + 1 && syntax::trim_left(text).substr(0, 1) != "|" && interrupts_paragraph(j, scope))
      break;
    Line& line = document_.lines[j];
    line.kind = j == i + 1 ? LineKind::kHidden : LineKind::kTableRow;
    line.unit_start = true;
    line.content += static_cast<std::uint32_t>(syntax::indent_of(text).bytes);
  }
  emit(scope, BlockKind::kTable, i, j - 1);
  return j;
}

std::size_t BlockScanner::footnote(std::size_t i, Scope& scope) {
  const std::size_t prefix = syntax::footnote_prefix(rest(i));
  if (prefix == 0) {
    const auto definition = syntax::link_definition(rest(i));
    if (!definition) return i;
    document_.link_definitions.emplace(text::fold_case(text::trim(definition->label)),
                                       definition->destination);
    document_.lines[i].kind = LineKind::kHidden;
    emit(scope, BlockKind::kHidden, i, i);
    return i + 1;
  }
  Line& first = document_.lines[i];
  first.kind = LineKind::kText;
  first.unit_start = true;
  first.content += static_cast<std::uint32_t>(prefix);
  std::size_t last = i;
  bool blank_before = false;
  for (std::size_t j = i + 1; j < scope.end; ++j) {
    const std::string_view line = rest(j);
    if (is_blank(line)) {
      blank_before = true;
      continue;
    }
    const auto indent = syntax::indent_of(line);
    if (indent.columns < 2 && (blank_before || interrupts_paragraph(j, scope))) break;
    Line& text = document_.lines[j];
    text.kind = LineKind::kText;
    text.unit_start = blank_before;
    text.content += static_cast<std::uint32_t>(indent.bytes);
    blank_before = false;
    last = j;
  }
  emit(scope, BlockKind::kParagraph, i, last);
  return last + 1;
}

bool BlockScanner::interrupts_paragraph(std::size_t i, const Scope& scope) const {
  const std::string_view line = rest(i);
  const auto indent = syntax::indent_of(line);
  if (indent.columns > 3 || indent.bytes == line.size()) return false;
  switch (line[indent.bytes]) {
    case '#': return syntax::atx_heading(line).has_value();
    case '>': return true;
    case '`':
    case '~': return syntax::opening_fence(line).has_value();
    case '$':
      return line.substr(indent.bytes, 2) == "$$" &&
             line.find("$$", indent.bytes + 2) == std::string_view::npos && i < scope.math_dead;
    case '%':
      return line.substr(indent.bytes, 2) == "%%" &&
             line.find("%%", indent.bytes + 2) == std::string_view::npos && i < scope.comment_dead;
    case '[': return syntax::footnote_prefix(line) > 0;
    case '<':
      return line.substr(indent.bytes, 4) == "<!--" && line.find("-->") == std::string_view::npos;
    default: break;
  }
  if (syntax::is_thematic_break(line)) return true;
  if (const auto mark = syntax::list_mark(line)) {
    return !mark->empty && (!mark->ordered || mark->starts_with_one);
  }
  return table_starts(i, scope);
}

std::size_t BlockScanner::paragraph(std::size_t i, Scope& scope) {
  Line& first = document_.lines[i];
  first.kind = LineKind::kText;
  first.unit_start = true;
  first.content += static_cast<std::uint32_t>(syntax::indent_of(rest(i)).bytes);
  std::size_t j = i + 1;
  for (; j < scope.end; ++j) {
    const std::string_view line = rest(j);
    if (is_blank(line)) break;
    if (const std::uint8_t level = syntax::setext_underline(line); level > 0) {
      for (std::size_t k = i; k < j; ++k) document_.lines[k].kind = LineKind::kHeading;
      document_.lines[j].kind = LineKind::kHidden;
      emit(scope, BlockKind::kHeading, i, j, level);
      return j + 1;
    }
    if (interrupts_paragraph(j, scope)) break;
    Line& text = document_.lines[j];
    text.kind = LineKind::kText;
    text.content += static_cast<std::uint32_t>(syntax::indent_of(line).bytes);
  }
  emit(scope, BlockKind::kParagraph, i, j - 1);
  return j;
}

}  // namespace knap::vault
