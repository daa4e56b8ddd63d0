#include "inline_scanner.hpp"

#include <algorithm>

#include "block_syntax.hpp"
#include "knap/base/text.hpp"
#include "link_syntax.hpp"

namespace knap::vault {
namespace {

/// Characters that may begin a construct; all others are copied in bulk.
constexpr std::array<bool, 256> special_table() {
  std::array<bool, 256> table{};
  for (const char c : std::string_view("\\`*_~=[]!<&#$%^|:"))
    table[static_cast<unsigned char>(c)] = true;
  return table;
}
constexpr std::array<bool, 256> kSpecial = special_table();

constexpr std::size_t kCutEveryBytes = 48;  ///< Between cut points of the same strength.

bool is_white(char c) { return c == ' ' || c == '\t' || c == '\n'; }
bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }
bool is_punctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
         (c >= '{' && c <= '~');
}

}  // namespace

std::size_t InlineScanner::Finder::find(std::string_view text, std::string_view needle,
                                        std::size_t from) {
  if (known_ && from >= from_ && (at_ == std::string_view::npos || at_ >= from)) return at_;
  known_ = true;
  from_ = from;
  at_ = text.find(needle, from);
  return at_;
}

InlineScanner::InlineScanner(Document& document, Note& note)
    : document_(document), note_(note), out_(document.plain) {}

std::string InlineScanner::plain_text(std::string_view markdown) {
  Document document;
  Note ignored;
  document.lines.push_back({.text = markdown, .kind = LineKind::kText, .unit_start = true});
  InlineScanner(document, ignored).scan(0, 1);
  return std::string(document.plain_of(document.lines[0]));
}

void InlineScanner::scan(std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < end;) {
    Line& line = document_.lines[i];
    switch (line.kind) {
      case LineKind::kBlank:
      case LineKind::kHidden:
        line.plain_begin = line.plain_end = static_cast<std::uint32_t>(out_.size());
        ++i;
        break;
      case LineKind::kCode:
        code_line(i);
        ++i;
        break;
      case LineKind::kText:
      case LineKind::kHeading:
      case LineKind::kTableRow:
        i = gather_unit(i, end);
        scan_unit();
        finish_unit();
        break;
    }
  }
}

void InlineScanner::code_line(std::size_t index) {
  Line& line = document_.lines[index];
  std::string_view text = line.text.substr(std::min<std::size_t>(line.content, line.text.size()));
  if (line.unit_start && text.starts_with("$$")) text.remove_prefix(2);
  if (text.ends_with("$$")) text.remove_suffix(2);
  line.plain_begin = static_cast<std::uint32_t>(out_.size());
  out_.append(text);
  line.plain_end = static_cast<std::uint32_t>(out_.size());
  if (text.size() <= kLongLineBytes) return;
  unit_ = text;
  unit_first_ = index;
  unit_lines_.assign(1, 0);
  const auto raw = static_cast<std::size_t>(text.data() - line.text.data());
  const std::size_t cuts = document_.cuts.size();
  add_cuts(0, text.size(), line.plain_begin);
  for (std::size_t k = cuts; k < document_.cuts.size(); ++k) {
    document_.cuts[k].line = static_cast<std::uint32_t>(index);
    document_.cuts[k].raw += static_cast<std::uint32_t>(raw - line.content);
  }
}

std::size_t InlineScanner::gather_unit(std::size_t begin, std::size_t end) {
  const auto content = [&](std::size_t i) {
    const Line& line = document_.lines[i];
    return line.text.substr(std::min<std::size_t>(line.content, line.text.size()));
  };
  const LineKind kind = document_.lines[begin].kind;
  std::size_t last = begin;
  row_ = kind == LineKind::kTableRow;
  while (last + 1 < end && document_.lines[last + 1].kind == kind &&
         !document_.lines[last + 1].unit_start)
    ++last;
  unit_first_ = begin;
  unit_lines_.assign(1, 0);
  long_line_ = content(begin).size() > kLongLineBytes;
  if (last == begin) {
    unit_ = content(begin);
  } else {
    joined_.assign(content(begin));
    for (std::size_t i = begin + 1; i <= last; ++i) {
      joined_ += '\n';
      unit_lines_.push_back(joined_.size());
      joined_ += content(i);
      long_line_ = long_line_ || content(i).size() > kLongLineBytes;
    }
    unit_ = joined_;
  }
  if (kind == LineKind::kHeading) {
    // "# Title ##": the closing marks are no text.
    std::string_view text = text::trim(unit_);
    const std::size_t marks = text.find_last_not_of('#');
    if (marks == std::string_view::npos) {
      unit_ = unit_.substr(0, 0);
    } else if (marks + 1 < text.size() && is_white(text[marks])) {
      unit_ = unit_.substr(0, static_cast<std::size_t>(text.data() - unit_.data()) + marks);
    }
  }
  if (unit_.find('^') != std::string_view::npos) {
    const std::size_t line_begin = unit_lines_.back();
    if (line_begin <= unit_.size()) {
      if (const auto id = syntax::trailing_block_id(unit_.substr(line_begin))) {
        document_.block_marks.push_back(
            {.line = static_cast<std::uint32_t>(last), .id = std::string(id->id)});
        note_.blocks.emplace(std::string(id->id), document_.number(last));
        unit_ = unit_.substr(0, line_begin + id->begin);
      }
    }
  }
  return last + 1;
}

void InlineScanner::scan_unit() {
  unit_plain_ = out_.size();
  unit_cuts_ = document_.cuts.size();
  plain_lines_.assign(1, out_.size());
  for (auto& stack : openers_) stack.clear();
  brackets_.clear();
  removals_.clear();
  for (Finder* finder :
       {&comment_end_, &wikilink_end_, &angle_end_, &html_comment_end_, &paren_end_, &line_end_})
    finder->reset();
  math_dead_ = 0;
  backticks_known_ = false;
  pos_ = 0;
  if (row_) {
    while (pos_ < unit_.size() && is_white(unit_[pos_])) ++pos_;
    if (pos_ < unit_.size() && unit_[pos_] == '|') ++pos_;
    while (pos_ < unit_.size() && is_white(unit_[pos_])) ++pos_;
  }
  while (pos_ < unit_.size()) {
    std::size_t end = pos_;
    while (end < unit_.size() && !kSpecial[static_cast<unsigned char>(unit_[end])]) ++end;
    if (end > pos_) copy(end);
    if (pos_ == unit_.size()) break;
    if (!special(unit_[pos_])) copy(pos_ + 1);
  }
}

void InlineScanner::copy(std::size_t end) {
  std::size_t begin = pos_;
  pos_ = end;
  while (begin < end) {
    const bool more_lines = plain_lines_.size() < unit_lines_.size();
    const std::size_t line_end = more_lines ? std::min(end, unit_lines_[plain_lines_.size()]) : end;
    if (long_line_) add_cuts(begin, line_end, out_.size());
    out_.append(unit_.substr(begin, line_end - begin));
    begin = line_end;
    if (more_lines && begin == unit_lines_[plain_lines_.size()])
      plain_lines_.push_back(out_.size());
  }
}

void InlineScanner::emit_text(std::string_view text) { out_.append(text); }

void InlineScanner::add_cuts(std::size_t raw_begin, std::size_t raw_end, std::size_t plain_begin) {
  const std::size_t line = std::max<std::size_t>(plain_lines_.size(), 1) - 1;
  const std::size_t line_index = unit_first_ + std::min(line, unit_lines_.size() - 1);
  const std::size_t line_start = unit_lines_[std::min(line, unit_lines_.size() - 1)];
  const Line& target = document_.lines[line_index];
  std::array<std::size_t, 3> last{};
  last.fill(raw_begin);
  for (std::size_t i = raw_begin; i < raw_end; ++i) {
    if (i == 0 || i - last[0] < 8 || is_continuation(unit_[i])) continue;
    const char previous = unit_[i - 1];
    std::uint8_t strength = 0;
    if (previous == ' ' && i >= 2) {
      const char sign = unit_[i - 2];
      strength = sign == '.' || sign == '!' || sign == '?' ? 2 : 1;
    } else if (i >= 3) {
      // Ideographic full stop, full-width exclamation and question marks.
      const std::string_view sign = unit_.substr(i - 3, 3);
      if (sign == "\xE3\x80\x82" || sign == "\xEF\xBC\x81" || sign == "\xEF\xBC\x9F") strength = 2;
    }
    const bool due = strength == 2 || i - last[strength] >= kCutEveryBytes;
    if (!due) continue;
    for (std::size_t k = 0; k <= strength; ++k) last[k] = i;
    document_.cuts.push_back({.line = static_cast<std::uint32_t>(line_index),
                              .raw = static_cast<std::uint32_t>(i - line_start + target.content),
                              .plain = static_cast<std::uint32_t>(plain_begin + (i - raw_begin)),
                              .strength = strength});
  }
}

bool InlineScanner::special(char c) {
  switch (c) {
    case '\\':
      if (pos_ + 1 < unit_.size() && is_punctuation(unit_[pos_ + 1])) {
        ++pos_;
        copy(pos_ + 1);
        return true;
      }
      return false;
    case '`': return code_span();
    case '$': return math_span();
    case '%': return comment();
    case '*':
    case '_':
    case '~':
    case '=': return delimiter_run(c);
    case '[':
      if (unit_.substr(pos_, 2) == "[[" && wikilink(false)) return true;
      if (footnote_mark()) return true;
      brackets_.push_back({.plain = out_.size()});
      return false;
    case '!':
      if (unit_.substr(pos_ + 1, 2) == "[[" && wikilink(true)) return true;
      if (unit_.substr(pos_ + 1, 1) == "[") {
        brackets_.push_back({.plain = out_.size(), .image = true});
        copy(pos_ + 2);
        return true;
      }
      return false;
    case '^':
      if (unit_.substr(pos_ + 1, 1) != "[") return false;
      brackets_.push_back({.plain = out_.size(), .footnote = true});
      copy(pos_ + 2);
      return true;
    case ']': return close_bracket();
    case '<': return angle();
    case '&': return entity();
    case '#': return tag();
    case ':': return bare_url();
    case '|':
      if (!row_) return false;
      cell_border();
      return true;
    default: return false;
  }
}

void InlineScanner::cell_border() {
  while (out_.size() > unit_plain_ && is_white(out_.back())) out_.pop_back();
  ++pos_;
  while (pos_ < unit_.size() && is_white(unit_[pos_])) ++pos_;
  if (pos_ < unit_.size()) emit_text(" | ");
}

void InlineScanner::finish_unit() {
  while (plain_lines_.size() < unit_lines_.size()) plain_lines_.push_back(out_.size());
  if (!removals_.empty()) {
    std::sort(removals_.begin(), removals_.end(),
              [](const Removal& a, const Removal& b) { return a.plain < b.plain; });
    std::size_t write = removals_[0].plain;
    std::size_t line = 0;
    std::size_t cut = unit_cuts_;
    std::size_t removed = 0;
    const auto shift_up_to = [&](std::size_t limit) {
      for (; line < plain_lines_.size() && plain_lines_[line] <= limit; ++line)
        plain_lines_[line] -= removed;
      for (; cut < document_.cuts.size() && document_.cuts[cut].plain <= limit; ++cut) {
        document_.cuts[cut].plain -=
            static_cast<std::uint32_t>(std::min<std::size_t>(removed, document_.cuts[cut].plain));
      }
    };
    for (std::size_t k = 0; k < removals_.size(); ++k) {
      const Removal& removal = removals_[k];
      shift_up_to(removal.plain);
      removed += removal.length;
      const std::size_t from = removal.plain + removal.length;
      const std::size_t to = k + 1 < removals_.size() ? removals_[k + 1].plain : out_.size();
      std::copy(out_.begin() + static_cast<std::ptrdiff_t>(from),
                out_.begin() + static_cast<std::ptrdiff_t>(to),
                out_.begin() + static_cast<std::ptrdiff_t>(write));
      write += to - from;
    }
    shift_up_to(out_.size());
    out_.resize(write);
  }
  // Every line's part, without the white space around it.
  for (std::size_t k = 0; k < unit_lines_.size(); ++k) {
    std::size_t begin = plain_lines_[k];
    std::size_t end = k + 1 < plain_lines_.size() ? plain_lines_[k + 1] : out_.size();
    while (begin < end && is_white(out_[begin])) ++begin;
    while (end > begin && is_white(out_[end - 1])) --end;
    Line& line = document_.lines[unit_first_ + k];
    line.plain_begin = static_cast<std::uint32_t>(begin);
    line.plain_end = static_cast<std::uint32_t>(end);
  }
  Line& first = document_.lines[unit_first_];
  if (first.callout_title && first.plain_begin == first.plain_end) {
    // Obsidian shows the type where no title is given.
    const std::string_view mark = first.text.substr(0, first.content);
    const std::size_t open = mark.rfind("[!");
    const std::size_t close =
        open == std::string_view::npos ? open : mark.find_first_of("|]", open);
    if (close == std::string_view::npos) return;
    first.plain_begin = static_cast<std::uint32_t>(out_.size());
    out_.append(mark.substr(open + 2, close - open - 2));
    first.plain_end = static_cast<std::uint32_t>(out_.size());
  }
}

std::uint32_t InlineScanner::line_number() const {
  return document_.number(unit_first_ + std::min(plain_lines_.size(), unit_lines_.size()) - 1);
}

}  // namespace knap::vault
