// The constructs of inline Markdown: code, math, comments, links, tags, HTML, emphasis.
#include <algorithm>

#include "inline_scanner.hpp"
#include "knap/base/text.hpp"
#include "link_syntax.hpp"

namespace knap::vault {
namespace {

constexpr std::size_t kWikilinkBytesMax = 2048;
constexpr std::size_t kLinkTitleBytesMax = 1000;
constexpr std::size_t kParenthesesMax =
    32;  ///< Nested in a link's destination, as in CommonMark's reference parser.
constexpr std::size_t kTagBytesMax = 512;

bool is_white(char c) { return c == ' ' || c == '\t' || c == '\n'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_punctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
         (c >= '{' && c <= '~');
}

/// Obsidian: letters, numbers, "_", "-", "/" and everything beyond ASCII that is no space or
/// punctuation.
bool is_tag_character(char32_t c) {
  if (c < 0x80) {
    const char byte = static_cast<char>(c);
    return is_letter(byte) || is_digit(byte) || byte == '_' || byte == '-' || byte == '/';
  }
  if (c == 0x200D) return true;  // Joins the parts of an emoji.
  if (c == 0xFFFD || c < 0xA1 || c == 0xAB || c == 0xBB || c == 0xBF) return false;
  if ((c >= 0x2000 && c <= 0x206F) || (c >= 0x2E00 && c <= 0x2E7F) || (c >= 0x3000 && c <= 0x3003))
    return false;
  if ((c >= 0x3008 && c <= 0x3011) || (c >= 0xFF01 && c <= 0xFF0F) || (c >= 0xFF1A && c <= 0xFF20))
    return false;
  return (c < 0xFF3B || c > 0xFF40) && (c < 0xFF5B || c > 0xFF65);
}

}  // namespace

bool InlineScanner::code_span() {
  std::size_t run = 1;
  while (pos_ + run < unit_.size() && unit_[pos_ + run] == '`') ++run;
  const std::size_t begin = pos_ + run;
  const auto literal = [&] {
    copy(begin);
    return true;
  };
  if (run >= backticks_last_.size()) return literal();
  if (!backticks_known_) {
    // One look at all runs of the unit: an unclosed run is then known at once.
    backticks_known_ = true;
    backticks_last_.fill(0);
    for (std::size_t i = pos_; i < unit_.size();) {
      if (unit_[i] != '`') {
        i = std::min(unit_.find('`', i), unit_.size());
        continue;
      }
      const std::size_t end = std::min(unit_.find_first_not_of('`', i), unit_.size());
      if (end - i < backticks_last_.size()) backticks_last_[end - i] = i;
      i = end;
    }
  }
  if (backticks_last_[run] <= pos_) return literal();
  std::size_t close = begin;
  while (true) {
    close = unit_.find('`', close);
    const std::size_t end = std::min(unit_.find_first_not_of('`', close), unit_.size());
    if (end - close == run) break;
    close = end;
  }
  pos_ = begin;
  copy(close);
  pos_ = close + run;
  return true;
}

bool InlineScanner::math_span() {
  if (unit_.substr(pos_, 2) == "$$") {
    const std::size_t close = unit_.find("$$", pos_ + 2);
    if (close == std::string_view::npos) {
      copy(pos_ + 2);
      return true;
    }
    pos_ += 2;
    copy(close);
    pos_ = close + 2;
    return true;
  }
  if (pos_ < math_dead_ || pos_ + 1 >= unit_.size() || is_white(unit_[pos_ + 1])) return false;
  const std::size_t line_end = std::min(line_end_.find(unit_, "\n", pos_), unit_.size());
  for (std::size_t close = pos_ + 2; close < line_end; ++close) {
    close = std::min(unit_.find('$', close), line_end);
    if (close == line_end) break;
    if (is_white(unit_[close - 1]) || unit_[close - 1] == '\\') continue;
    if (close + 1 < unit_.size() && is_digit(unit_[close + 1])) continue;
    ++pos_;
    copy(close);
    pos_ = close + 1;
    return true;
  }
  math_dead_ = line_end;
  return false;
}

bool InlineScanner::comment() {
  if (unit_.substr(pos_, 2) != "%%") return false;
  const std::size_t close = comment_end_.find(unit_, "%%", pos_ + 2);
  if (close == std::string_view::npos) return false;
  // Lines inside the comment begin, and are empty.
  while (plain_lines_.size() < unit_lines_.size() &&
         unit_lines_[plain_lines_.size()] <= close + 2) {
    plain_lines_.push_back(out_.size());
  }
  pos_ = close + 2;
  return true;
}

bool InlineScanner::wikilink(bool embed) {
  const std::size_t begin = pos_ + (embed ? 3 : 2);
  const std::size_t close = wikilink_end_.find(unit_, "]]", begin);
  if (close == std::string_view::npos || close - begin > kWikilinkBytesMax || close == begin)
    return false;
  const std::string_view inside = unit_.substr(begin, close - begin);
  if (inside.find("[[") != std::string_view::npos || inside.find('\n') != std::string_view::npos)
    return false;
  Link link = parse_wikilink(inside);
  link.kind = embed ? Link::Kind::kEmbed : Link::Kind::kWikilink;
  if (embed && is_image_size(link.alias)) link.alias.clear();
  emit_text(link.alias.empty() ? link_display(link) : link.alias);
  add_link(std::move(link));
  pos_ = close + 2;
  return true;
}

bool InlineScanner::footnote_mark() {
  if (unit_.substr(pos_, 2) != "[^") return false;
  const std::size_t close =
      unit_.substr(0, std::min(unit_.size(), pos_ + 130)).find_first_of("] \t\n[", pos_ + 2);
  if (close == std::string_view::npos || unit_[close] != ']' || close == pos_ + 2) return false;
  pos_ = close + 1;
  return true;
}

bool InlineScanner::close_bracket() {
  if (brackets_.empty()) return false;
  const Bracket bracket = brackets_.back();
  brackets_.pop_back();
  const std::size_t open_length = bracket.image || bracket.footnote ? 2 : 1;
  if (bracket.footnote) {
    removals_.push_back({.plain = bracket.plain, .length = open_length});
    ++pos_;
    return true;
  }
  const std::string_view text = std::string_view(out_).substr(bracket.plain + open_length);
  if (!inline_destination(bracket, text) && !reference(bracket, text)) return false;
  removals_.push_back({.plain = bracket.plain, .length = open_length});
  if (bracket.image && is_image_size(std::string_view(out_).substr(bracket.plain + open_length))) {
    out_.resize(bracket.plain + open_length);
  }
  return true;
}

bool InlineScanner::inline_destination(const Bracket& bracket, std::string_view text) {
  std::size_t i = pos_ + 1;
  if (i >= unit_.size() || unit_[i] != '(') return false;
  if (paren_end_.find(unit_, ")", i) == std::string_view::npos) return false;
  ++i;
  while (i < unit_.size() && is_white(unit_[i])) ++i;
  std::string_view destination;
  if (i < unit_.size() && unit_[i] == '<') {
    const std::size_t end = angle_end_.find(unit_, ">", i + 1);
    if (end == std::string_view::npos ||
        unit_.substr(i + 1, end - i - 1).find('\n') != std::string_view::npos)
      return false;
    destination = unit_.substr(i + 1, end - i - 1);
    i = end + 1;
  } else {
    const std::size_t begin = i;
    std::size_t depth = 0;
    for (; i < unit_.size() && !is_white(unit_[i]); ++i) {
      if (unit_[i] == '\\' && i + 1 < unit_.size() && is_punctuation(unit_[i + 1])) {
        ++i;
      } else if (unit_[i] == '(') {
        if (++depth > kParenthesesMax) return false;
      } else if (unit_[i] == ')') {
        if (depth == 0) break;
        --depth;
      }
    }
    i = std::min(i, unit_.size());
    destination = unit_.substr(begin, i - begin);
  }
  while (i < unit_.size() && is_white(unit_[i])) ++i;
  if (i < unit_.size() && (unit_[i] == '"' || unit_[i] == '\'')) {
    const std::size_t end =
        unit_.substr(0, std::min(unit_.size(), i + kLinkTitleBytesMax)).find(unit_[i], i + 1);
    if (end == std::string_view::npos) return false;
    i = end + 1;
    while (i < unit_.size() && is_white(unit_[i])) ++i;
  }
  if (i >= unit_.size() || unit_[i] != ')') return false;
  add_markdown_link(destination, text, bracket.image);
  while (plain_lines_.size() < unit_lines_.size() && unit_lines_[plain_lines_.size()] <= i + 1) {
    plain_lines_.push_back(out_.size());
  }
  pos_ = i + 1;
  return true;
}

bool InlineScanner::reference(const Bracket& bracket, std::string_view text) {
  if (document_.link_definitions.empty() || text.size() > kLinkTitleBytesMax) return false;
  std::size_t end = pos_ + 1;
  std::string_view label = text;
  if (unit_.substr(end, 1) == "[") {
    const std::size_t close =
        unit_.substr(0, std::min(unit_.size(), end + kLinkTitleBytesMax)).find(']', end);
    if (close != std::string_view::npos &&
        unit_.substr(end, close - end).find('\n') == std::string_view::npos) {
      if (close > end + 1) label = unit_.substr(end + 1, close - end - 1);
      end = close + 1;
    }
  }
  const auto found = document_.link_definitions.find(text::fold_case(text::trim(label)));
  if (found == document_.link_definitions.end()) return false;
  add_markdown_link(found->second, text, bracket.image);
  pos_ = end;
  return true;
}

void InlineScanner::add_markdown_link(std::string_view destination, std::string_view text,
                                      bool image) {
  if (destination.empty() || is_external(destination)) return;
  Link link{.kind = image ? Link::Kind::kMarkdownEmbed : Link::Kind::kMarkdown};
  split_link_path(percent_decode(destination), link);
  link.alias = image && is_image_size(text) ? std::string() : std::string(text);
  add_link(std::move(link));
}

void InlineScanner::add_link(Link link) {
  link.line = line_number();
  note_.links.push_back(std::move(link));
}

bool InlineScanner::angle() {
  if (unit_.substr(pos_, 4) == "<!--") {
    const std::size_t close = html_comment_end_.find(unit_, "-->", pos_ + 4);
    if (close == std::string_view::npos) return false;
    while (plain_lines_.size() < unit_lines_.size() &&
           unit_lines_[plain_lines_.size()] <= close + 3) {
      plain_lines_.push_back(out_.size());
    }
    pos_ = close + 3;
    return true;
  }
  std::size_t name = pos_ + 1;
  if (name < unit_.size() && unit_[name] == '/') ++name;
  if (name >= unit_.size() || !is_letter(unit_[name])) return false;
  const std::size_t close = angle_end_.find(unit_, ">", name);
  if (close == std::string_view::npos) return false;
  std::size_t end = name;
  while (end < close && (is_letter(unit_[end]) || is_digit(unit_[end]) || unit_[end] == '-')) ++end;
  const char after = unit_[end];
  if (after == ':' || after == '@' || after == '.') {
    // <https://host/path> and <name@host>: the reader sees the address.
    if (unit_.substr(end, close - end).find_first_of(" \t\n<") != std::string_view::npos)
      return false;
    ++pos_;
    copy(close);
    ++pos_;
    return true;
  }
  if (after != '>' && after != '/' && !is_white(after)) return false;
  const std::string_view element = unit_.substr(name, end - name);
  // Between blocks and cells of HTML the words must not grow together.
  constexpr std::string_view kInline =
      " a abbr b big button cite code del dfn em font i ins kbd mark q s samp small span strong "
      "sub sup u var ";
  const bool separates =
      kInline.find(" " + std::string(element.substr(0, 10)) + " ") == std::string_view::npos;
  if (separates && out_.size() > unit_plain_ && !is_white(out_.back())) out_ += ' ';
  while (plain_lines_.size() < unit_lines_.size() &&
         unit_lines_[plain_lines_.size()] <= close + 1) {
    plain_lines_.push_back(out_.size());
  }
  pos_ = close + 1;
  return true;
}

bool InlineScanner::entity() {
  const std::size_t close = unit_.substr(0, std::min(unit_.size(), pos_ + 12)).find(';', pos_);
  if (close == std::string_view::npos) return false;
  const std::string_view name = unit_.substr(pos_ + 1, close - pos_ - 1);
  struct Named {
    std::string_view name, text;
  };
  constexpr std::array<Named, 12> kNamed = {{{"amp", "&"},
                                             {"lt", "<"},
                                             {"gt", ">"},
                                             {"quot", "\""},
                                             {"apos", "'"},
                                             {"nbsp", " "},
                                             {"mdash", "\u2014"},
                                             {"ndash", "\u2013"},
                                             {"hellip", "\u2026"},
                                             {"copy", "\u00A9"},
                                             {"larr", "\u2190"},
                                             {"rarr", "\u2192"}}};
  for (const Named& named : kNamed) {
    if (named.name != name) continue;
    emit_text(named.text);
    pos_ = close + 1;
    return true;
  }
  if (name.size() < 2 || name[0] != '#') return false;
  const bool hex = name[1] == 'x' || name[1] == 'X';
  const std::string_view digits = name.substr(hex ? 2 : 1);
  char32_t code = 0;
  if (digits.empty() || digits.size() > 7) return false;
  for (const char c : digits) {
    const bool letter = hex && ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'));
    if (!is_digit(c) && !letter) return false;
    code = code * (hex ? 16 : 10) +
           static_cast<char32_t>(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  if (code < 0x20 || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return false;
  text::append(out_, code);
  pos_ = close + 1;
  return true;
}

bool InlineScanner::tag() {
  const char previous = before();
  constexpr std::string_view kBefore = " \t\n([{\"'|>*~,;";
  if (pos_ > 0 && kBefore.find(previous) == std::string_view::npos) return false;
  std::size_t end = pos_ + 1;
  bool numeric = true;
  const std::size_t limit = std::min(unit_.size(), pos_ + kTagBytesMax);
  while (end < limit) {
    std::size_t next = end;
    const char32_t c = text::decode(unit_, next);
    if (!is_tag_character(c)) break;
    if (c != U'/' && (c < U'0' || c > U'9')) numeric = false;
    end = next;
  }
  std::string_view name = unit_.substr(pos_ + 1, end - pos_ - 1);
  while (!name.empty() && name.back() == '/') name.remove_suffix(1);
  if (name.empty() || numeric) return false;
  note_.tags.push_back({.name = std::string(name), .line = line_number()});
  copy(end);
  return true;
}

bool InlineScanner::bare_url() {
  if (unit_.substr(pos_, 3) != "://" || pos_ == 0 || !is_letter(unit_[pos_ - 1])) return false;
  // In a table or link text the address ends at the border.
  std::size_t end = unit_.find_first_of(row_ ? " \t\n<>\"|" : " \t\n<>\"", pos_);
  end = std::min(end, unit_.size());
  if (!brackets_.empty()) {
    const std::size_t bracket = unit_.substr(0, end).find(']', pos_);
    if (bracket != std::string_view::npos) end = bracket;
  }
  copy(end);
  return true;
}

bool InlineScanner::delimiter_run(char c) {
  std::size_t end = pos_;
  while (end < unit_.size() && unit_[end] == c) ++end;
  const std::size_t begin = pos_;
  std::size_t length = end - begin;
  const char previous = before();
  const char next = end < unit_.size() ? unit_[end] : '\n';
  std::size_t plain = out_.size();
  copy(end);
  if ((c == '~' || c == '=') && length != 2) return true;
  const bool left =
      !is_white(next) && (!is_punctuation(next) || is_white(previous) || is_punctuation(previous));
  const bool right =
      !is_white(previous) && (!is_punctuation(previous) || is_white(next) || is_punctuation(next));
  const bool can_open = left && (c != '_' || !right || is_punctuation(previous));
  const bool can_close = right && (c != '_' || !left || is_punctuation(next));
  constexpr std::string_view kMarks = "*_~=";
  auto& openers = openers_[kMarks.find(c)];
  while (can_close && length > 0 && !openers.empty()) {
    Delimiter& opener = openers.back();
    const std::size_t used = std::min(opener.length, length);
    removals_.push_back({.plain = opener.plain + opener.length - used, .length = used});
    removals_.push_back({.plain = plain, .length = used});
    opener.length -= used;
    length -= used;
    plain += used;
    if (opener.length == 0) openers.pop_back();
  }
  if (can_open && length > 0) openers.push_back({.plain = plain, .length = length});
  return true;
}

}  // namespace knap::vault
