#include "markdown_line.hpp"

#include <algorithm>

#include "knap/base/text.hpp"

namespace knap::extract::html {
namespace {

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Whether the mark of Markdown at `at` must be escaped to be itself.
bool needs_escape(std::string_view text, std::size_t at) {
  const char c = text[at];
  const char before = at == 0 ? ' ' : text[at - 1];
  const char after = at + 1 < text.size() ? text[at + 1] : ' ';
  switch (c) {
    case '\\':
    case '`':
    case '*':
    case '[':
    case ']':
    case '<':
    case '$':
    case '~':
    case '|': return true;
    case '_': return !(is_word(before) && is_word(after));  // within a word it means nothing
    case '#': return !is_word(before) && after != ' ';      // a tag
    case '^': return before == ' ';                         // a block id
    case '=':
    case '%': return after == c || before == c;       // highlight, comment
    case ':': return before == ':';                   // an inline field
    case '&': return after == '#' || is_word(after);  // a character reference
    default: return false;
  }
}

/// How many bytes at the start of a line would make it a heading, quote, list item or rule.
std::size_t block_mark(std::string_view text) {
  if (text.empty()) return 0;
  constexpr std::string_view kMarks = "#>-+=";
  if (kMarks.find(text[0]) != std::string_view::npos) return 1;
  std::size_t digits = 0;
  while (digits < text.size() && digits < 10 && is_digit(text[digits])) ++digits;
  if (digits > 0 && digits < text.size() && (text[digits] == '.' || text[digits] == ')'))
    return digits + 1;
  return 0;
}

std::string fence_for(std::string_view code) {
  std::size_t longest = 0;
  std::size_t run = 0;
  for (const char c : code) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  return std::string(longest + 1, '`');
}

std::string code_span(std::string_view code) {
  // Dataview runs what begins so.
  const std::string_view trimmed = text::trim(code);
  if (trimmed.starts_with("=") || trimmed.starts_with("$")) return escape_markdown(code, false);
  const std::string fence = fence_for(code);
  const bool pad = code.starts_with('`') || code.ends_with('`');
  std::string inner = harmless_code(code);
  return fence + (pad ? " " + inner + " " : inner) + fence;
}

std::string label_of(std::string_view text) { return escape_markdown(text, false); }

}  // namespace

std::string harmless_code(std::string_view code) {
  std::string out;
  for (std::size_t i = 0; i < code.size(); ++i) {
    out += code[i];
    if (code[i] == '<' && i + 1 < code.size() && code[i + 1] == '%') out += ' ';
  }
  return out;
}

std::string escape_markdown(std::string_view text, bool at_start) {
  std::string out;
  out.reserve(text.size() + text.size() / 16);
  const std::size_t mark = at_start ? block_mark(text) : 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i + 1 == mark || needs_escape(text, i)) out += '\\';
    out += text[i];
  }
  return out;
}

void MarkdownLine::add(std::string_view text, std::uint8_t style, std::string_view address) {
  std::string clean;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = text::decode(text, at);
    const bool space = c == U' ' || (c >= U'\t' && c <= U'\r') || (c > 0x7F && text::is_space(c));
    const bool invisible = c < 0x20 || c == 0x7F || c == 0xAD || c == 0x200B || c == 0xFEFF ||
                           (c >= 0x80 && c < 0xA0) || (c >= 0x202A && c <= 0x202E) ||
                           (c >= 0x2066 && c <= 0x2069) || (c >= 0xE0000 && c <= 0xE007F);
    if (space) {
      if (!clean.empty() || (!pieces_.empty() && pieces_.back().kind != Piece::Kind::kBreak))
        pending_space_ = true;
      continue;
    }
    if (invisible) continue;
    if (pending_space_) {
      // The space stands outside of marks: with the piece before, when that is plain.
      if (!clean.empty())
        clean += ' ';
      else
        pieces_.push_back({" ", "", kPlain, Piece::Kind::kText});
      pending_space_ = false;
    }
    text::append(clean, c);
  }
  if (clean.empty()) return;
  if (!pieces_.empty()) {
    Piece& last = pieces_.back();
    const bool joint = pieces_.size() > 1 && last.text == " " && last.style == kPlain &&
                       last.address.empty() && last.kind == Piece::Kind::kText;
    Piece& before = joint ? pieces_[pieces_.size() - 2] : last;
    if (before.kind == Piece::Kind::kText && before.style == style && before.address == address) {
      before.text += (joint ? " " : "") + clean;
      if (joint) pieces_.pop_back();
      return;
    }
  }
  pieces_.push_back({std::move(clean), std::string(address), style, Piece::Kind::kText});
}

void MarkdownLine::add_break() {
  pending_space_ = false;
  if (!pieces_.empty() && pieces_.back().kind != Piece::Kind::kBreak)
    pieces_.push_back({"", "", kPlain, Piece::Kind::kBreak});
}

void MarkdownLine::add_object(std::string_view label, std::string_view address) {
  if (address.empty()) return;
  if (pending_space_) pieces_.push_back({" ", "", kPlain, Piece::Kind::kText});
  pending_space_ = false;
  pieces_.push_back({std::string(label), std::string(address), kPlain, Piece::Kind::kObject});
}

void MarkdownLine::clear() {
  pieces_.clear();
  pending_space_ = false;
}

void MarkdownLine::write_piece(const Piece& piece, char next, std::string& out) const {
  const bool at_start = out.empty() || out.back() == '\n';
  std::string inner;
  std::string mark;
  if ((piece.style & kCode) != 0) {
    inner = code_span(piece.text);
  } else {
    inner = escape_markdown(piece.text, at_start && piece.style == kPlain && piece.address.empty());
    if ((piece.style & kStruck) != 0) mark += "~~";
    if ((piece.style & kBold) != 0) mark += "**";
    if ((piece.style & kItalic) != 0) mark += "*";
    // A mark between a letter and a sign would be a sign itself.
    const char before = out.empty() ? ' ' : out.back();
    const bool opens = !is_word(before) || is_word(piece.text.front());
    const bool closes = !is_word(next) || is_word(piece.text.back());
    if (piece.address.empty() && !(opens && closes)) mark.clear();
  }
  // Two runs of marks that touch would be read as one.
  if (!mark.empty() && !out.empty() && (out.back() == '*' || out.back() == '~')) mark.clear();
  std::string end = mark;
  std::reverse(end.begin(), end.end());
  inner = mark + inner + end;
  if (piece.address.empty())
    out += inner;
  else
    out += "[" + inner + "](" + piece.address + ")";
}

std::string MarkdownLine::marked(Place place) const {
  std::string out;
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    const Piece& piece = pieces_[i];
    const bool last = i + 1 == pieces_.size();
    const char next = last || pieces_[i + 1].text.empty() ? ' ' : pieces_[i + 1].text.front();
    switch (piece.kind) {
      case Piece::Kind::kText:
        if (piece.text == " ")
          out += ' ';
        else
          write_piece(piece, next, out);
        break;
      case Piece::Kind::kBreak:
        if (!last) out += place == Place::kCell ? " " : "\\\n";
        break;
      case Piece::Kind::kObject:
        out += "[" + label_of(piece.text) + "](" + piece.address + ")";
        break;
    }
  }
  return out;
}

std::string MarkdownLine::plain() const {
  std::string out;
  for (const Piece& piece : pieces_) {
    if (piece.kind == Piece::Kind::kText) out += piece.text;
    if (piece.kind == Piece::Kind::kBreak && !out.empty()) out += ' ';
  }
  return out;
}

}  // namespace knap::extract::html
