#include "sentences.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <unordered_set>
#include <utility>

#include "knap/base/text.hpp"

namespace knap::answer {
namespace {

constexpr std::size_t kCodeLinesPerQuote = 8;  ///< More code than this is no quote but a listing.

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_space(char c) { return c == ' ' || c == '\t'; }

std::string_view trim_left(std::string_view s) {
  while (!s.empty() && is_space(s.front())) s.remove_prefix(1);
  return s;
}

/// Abbreviations of English, German, French and Spanish that a sentence goes on after, without the
/// last dot.
bool is_abbreviation(std::string_view word) {
  static const std::unordered_set<std::string_view> kKnown{
      "mr",   "mrs", "ms",   "dr",   "prof",  "st",     "vs",  "e.g",  "i.e", "cf",  "fig",
      "figs", "vol", "ed",   "eds",  "gen",   "col",    "sgt", "capt", "lt",  "rev", "hon",
      "gov",  "sen", "rep",  "mt",   "ft",    "approx", "ca",  "z.b",  "d.h", "u.a", "o.ä",
      "bzw",  "vgl", "evtl", "ggf",  "inkl",  "abb",    "str", "jr",   "sr",  "u.s", "al",
      "resp", "zw",  "geb",  "gest", "jh",    "jhd",    "mio", "mrd",  "usw", "sog", "hrsg",
      "aufl", "bd",  "s.o",  "s.u",  "i.d.r", "m",      "mme", "mlle", "sra", "dra", "lic",
      "pp",   "op",  "ph.d", "dept", "univ",  "assoc"};
  std::string lower;
  for (const char c : word) lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return kKnown.contains(lower);
}

/// Abbreviations only before a number: "No. 5", but "The answer is no. The next".
bool abbreviates_before_number(std::string_view word, std::string_view rest) {
  const auto same = [](char a, char b) { return (a | 0x20) == b; };
  const bool known =
      std::ranges::any_of(std::array<std::string_view, 4>{"no", "nr", "min", "max"},
                          [&](auto each) { return std::ranges::equal(word, each, same); });
  const std::size_t next = rest.find_first_not_of(' ');
  return known && next != std::string_view::npos && is_digit(rest[next]);
}

bool is_single_letter(std::string_view word) {
  if (word.empty()) return false;
  std::size_t at = 0;
  const char32_t c = text::decode(word, at);
  return at == word.size() && text::is_alphanumeric(c) && !(c >= U'0' && c <= U'9') &&
         !text::is_cjk(c);
}

bool is_closer(char32_t c) {
  constexpr std::u32string_view kClosers = U"\"')]}*_`»”’」』）】》";
  return kClosers.find(c) != std::u32string_view::npos;
}

/// True when the dot at `dot` belongs to its word and does not end the sentence.
bool dot_is_inner(std::string_view s, std::size_t dot, std::string_view language) {
  std::size_t begin = dot;
  while (begin > 0 && !is_space(s[begin - 1]) && s[begin - 1] != '(' && s[begin - 1] != '*')
    --begin;
  const std::string_view word = s.substr(begin, dot - begin);
  if (word.empty()) return false;
  if (is_abbreviation(word) || abbreviates_before_number(word, s.substr(dot + 1))) return true;
  if (is_single_letter(word) && word != "I") return true;
  const bool short_number = word.size() <= 2 && std::ranges::all_of(word, is_digit);
  // "am 3. Oktober"; in English a sentence may well end with a number.
  return short_number && (language == "de" || begin == 0);
}

/// What follows a full stop decides: a lower-case letter goes on with the sentence.
bool starts_sentence(std::string_view s, std::size_t at) {
  while (at < s.size()) {
    const char32_t c = text::decode(s, at);
    if (text::is_space(c) || is_closer(c) || c == U'(' || c == U'[' || c == U'„' || c == U'“' ||
        c == U'«') {
      continue;
    }
    return !(c >= U'a' && c <= U'z');
  }
  return true;
}

/// Past closing quotes, brackets and footnote marks that belong to the sentence.
std::size_t skip_closers(std::string_view s, std::size_t at) {
  constexpr std::size_t kMaxMark = 16;
  while (at < s.size()) {
    std::size_t after = at;
    const char32_t c = text::decode(s, after);
    if (is_closer(c)) {
      at = after;
      continue;
    }
    if (c == U'[' && s.substr(at, 2) != "[[") {
      const std::size_t close = s.find(']', at);
      const bool mark = close != std::string_view::npos && close - at <= kMaxMark &&
                        s.substr(at, close - at).find(' ') == std::string_view::npos &&
                        s.substr(close + 1, 1) != "(";
      if (mark) {
        at = close + 1;
        continue;
      }
    }
    break;
  }
  return at;
}

}  // namespace

std::vector<std::size_t> sentence_ends(std::string_view s, std::string_view language) {
  std::vector<std::size_t> ends;
  bool in_code = false;
  for (std::size_t at = 0; at < s.size() && ends.size() + 1 < kMaxSentences;) {
    const std::size_t here = at;
    const char32_t c = text::decode(s, at);
    if (c == U'`') in_code = !in_code;
    if (in_code) continue;
    const bool wide = c == U'。' || c == U'！' || c == U'？' || c == U'।' || c == U'؟';
    const bool narrow = c == U'.' || c == U'!' || c == U'?' || c == U'…';
    if (!wide && !narrow) continue;
    while (at < s.size() && (s[at] == '.' || s[at] == '!' || s[at] == '?')) ++at;
    const std::size_t end = skip_closers(s, at);
    if (narrow) {
      if (end < s.size() && !is_space(s[end])) continue;
      if (c == U'.' && at == here + 1 && dot_is_inner(s, here, language)) continue;
      if (!starts_sentence(s, end)) continue;
    }
    ends.push_back(end);
    at = end;
  }
  if (ends.empty() || ends.back() < s.size()) ends.push_back(s.size());
  return ends;
}

namespace {

/// Walks the lines of a passage, gathers paragraphs and cuts them.
class Splitter {
 public:
  Splitter(std::string_view passage, std::uint32_t first_line, std::string_view language)
      : passage_(passage), first_line_(first_line), language_(language) {}

  std::vector<Sentence> split() {
    std::uint32_t line = first_line_;
    for (std::size_t begin = 0; begin <= passage_.size() && out_.size() < kMaxSentences; ++line) {
      const std::size_t newline = std::min(passage_.find('\n', begin), passage_.size());
      take_line(begin, newline, line);
      begin = newline + 1;
    }
    flush();
    flush_code();
    return std::move(out_);
  }

 private:
  struct Piece {
    std::size_t begin, end;  ///< In the passage, without prefix and trailing space.
    std::uint32_t line;
    bool quoted = false;  ///< Behind '>'.
  };

  void take_line(std::size_t begin, std::size_t end, std::uint32_t line) {
    std::string_view content = passage_.substr(begin, end - begin);
    const std::string_view bare = skip_quote_marks(content);
    const bool quoted = trim_left(content).starts_with('>');
    if (!fence_.empty()) return take_fenced(bare, begin, end, line);
    if (in_comment_) {
      if (bare.find("%%") != std::string_view::npos) in_comment_ = false;
      return;
    }
    if (bare.starts_with("```") || bare.starts_with("~~~") || bare.starts_with("$$")) {
      flush();
      return open_fence(bare);
    }
    const std::string_view trimmed = text::trim(bare);
    if (trimmed.starts_with("%%") && trimmed.find("%%", 2) == std::string_view::npos) {
      flush();
      in_comment_ = true;
      return;
    }
    if (trimmed.empty() || is_rule(trimmed) || is_heading(trimmed) || trimmed.starts_with("[!")) {
      // A line of === or --- under text made that text a heading.
      const bool under_text =
          !pieces_.empty() && pieces_.back().quoted == quoted && is_underline(trimmed);
      if (under_text && !trimmed.empty()) pieces_.clear();
      flush();
      return;
    }
    const auto offset = static_cast<std::size_t>(trimmed.data() - passage_.data());
    const Piece piece{offset, offset + trimmed.size(), line, quoted};
    if (trimmed.front() == '|') return take_row(piece, trimmed);
    take_text(piece, trimmed);
  }

  void take_text(Piece piece, std::string_view trimmed) {
    // A wrapped line may begin with "1990. Then": inside a paragraph only a bullet or a first item
    // opens a list.
    const bool opens = pieces_.empty() || kind_ == Sentence::Kind::kListItem ||
                       !is_digit(trimmed[0]) || trimmed.starts_with("1.") ||
                       trimmed.starts_with("1)");
    if (const std::size_t marker = opens ? list_marker(trimmed) : 0; marker > 0) {
      flush();
      kind_ = Sentence::Kind::kListItem;
      piece.begin += marker;
      if (piece.begin >= piece.end) return;
    }
    pieces_.push_back(piece);
  }

  void take_row(Piece piece, std::string_view trimmed) {
    flush_paragraph();
    const bool delimiter = trimmed.find('-') != std::string_view::npos &&
                           trimmed.find_first_not_of("|:- \t") == std::string_view::npos;
    if (delimiter) {
      row_.reset();  // the row above is the table's head
      return;
    }
    flush_row();
    row_ = piece;
  }

  void open_fence(std::string_view bare) {
    fence_ = std::string(bare.substr(0, bare.starts_with("$$") ? 2 : 3));
    const std::string_view info = text::trim(bare.substr(fence_.size()));
    if (fence_ == "$$" && info.ends_with("$$") && info.size() > 2) fence_.clear();
    static constexpr std::array<std::string_view, 6> kQueries{"dataview", "dataviewjs", "tasks",
                                                              "query",    "button",     "base"};
    code_hidden_ = std::ranges::find(kQueries, info.substr(0, info.find(' '))) != kQueries.end();
  }

  void take_fenced(std::string_view bare, std::size_t begin, std::size_t end, std::uint32_t line) {
    if (bare.starts_with(fence_)) {
      flush_code();
      fence_.clear();
      return;
    }
    if (code_hidden_) return;
    if (text::trim(bare).empty()) return flush_code();
    code_.push_back({begin, end, line});
    if (code_.size() >= kCodeLinesPerQuote) flush_code();
  }

  void flush_code() {
    if (!code_.empty()) {
      const std::size_t begin = code_.front().begin, end = code_.back().end;
      add(Sentence::Kind::kCode, begin, end, {code_.front().line, code_.back().line},
          std::string(passage_.substr(begin, end - begin)));
    }
    code_.clear();
  }

  void flush_row() {
    if (!row_) return;
    std::string shown;
    std::string_view rest = passage_.substr(row_->begin, row_->end - row_->begin);
    while (!rest.empty()) {
      std::size_t bar = rest.find('|');
      while (bar != std::string_view::npos && bar > 0 && rest[bar - 1] == '\\')
        bar = rest.find('|', bar + 1);
      const std::string cell = plain_text(rest.substr(0, bar));
      if (!cell.empty()) shown += (shown.empty() ? "" : " · ") + cell;
      rest.remove_prefix(bar == std::string_view::npos ? rest.size() : bar + 1);
    }
    add(Sentence::Kind::kTableRow, row_->begin, row_->end, {row_->line, row_->line},
        std::move(shown));
    row_.reset();
  }

  void flush() {
    flush_row();
    flush_paragraph();
  }

  void flush_paragraph() {
    if (!pieces_.empty()) cut_paragraph();
    pieces_.clear();
    kind_ = Sentence::Kind::kProse;
  }

  /// Joins the lines by single spaces, cuts, and maps each cut back to the passage.
  void cut_paragraph() {
    std::string joined;
    std::vector<std::size_t> starts;
    for (const Piece& piece : pieces_) {
      if (!joined.empty()) joined += ' ';
      starts.push_back(joined.size());
      joined += passage_.substr(piece.begin, piece.end - piece.begin);
    }
    const auto piece_of = [&](std::size_t at) {
      return static_cast<std::size_t>(std::ranges::upper_bound(starts, at) - starts.begin()) - 1;
    };
    std::size_t begin = 0;
    for (std::size_t end : sentence_ends(joined, language_)) {
      std::size_t last = end;
      while (begin < last && is_space(joined[begin])) ++begin;
      while (last > begin && is_space(joined[last - 1])) --last;
      if (begin < last) {
        const std::size_t from = piece_of(begin), to = piece_of(last - 1);
        add(kind_, pieces_[from].begin + (begin - starts[from]),
            pieces_[to].begin + (last - 1 - starts[to]) + 1, {pieces_[from].line, pieces_[to].line},
            plain_text(std::string_view(joined).substr(begin, last - begin)));
      }
      begin = end;
    }
  }

  void add(Sentence::Kind kind, std::size_t begin, std::size_t end, vault::LineRange lines,
           std::string plain) {
    if (plain.empty() || out_.size() >= kMaxSentences) return;
    out_.push_back({kind, begin, end, lines, std::move(plain)});
  }

  static std::string_view skip_quote_marks(std::string_view s) {
    constexpr int kMaxDepth = 8;
    for (int depth = 0; depth < kMaxDepth; ++depth) {
      const std::string_view trimmed = trim_left(s);
      if (trimmed.empty() || trimmed.front() != '>') return trimmed;
      s = trimmed.substr(1);
    }
    return trim_left(s);
  }

  static bool is_heading(std::string_view s) {
    std::size_t level = 0;
    while (level < s.size() && s[level] == '#') ++level;
    return level >= 1 && level <= 6 && (level == s.size() || is_space(s[level]));
  }
  static bool is_underline(std::string_view s) {
    return s.find_first_not_of('=') == std::string_view::npos ||
           s.find_first_not_of('-') == std::string_view::npos;
  }
  static bool is_rule(std::string_view s) {
    return s.find_first_not_of("=") == std::string_view::npos ||
           (s.size() >= 3 && (s.find_first_not_of("- ") == std::string_view::npos ||
                              s.find_first_not_of("* ") == std::string_view::npos ||
                              s.find_first_not_of("_ ") == std::string_view::npos));
  }
  /// Bytes of "- ", "12. ", "- [x] " at the start; 0: no list item.
  static std::size_t list_marker(std::string_view s) {
    std::size_t at = 0;
    if (s[0] == '-' || s[0] == '*' || s[0] == '+') {
      at = 1;
    } else {
      while (at < s.size() && at < 9 && is_digit(s[at])) ++at;
      if (at == 0 || at >= s.size() || (s[at] != '.' && s[at] != ')')) return 0;
      ++at;
    }
    if (at < s.size() && !is_space(s[at])) return 0;
    while (at < s.size() && is_space(s[at])) ++at;
    if (s.size() - at >= 4 && s[at] == '[' && s[at + 2] == ']' && is_space(s[at + 3])) at += 4;
    return at;
  }

  std::string_view passage_;
  std::uint32_t first_line_;
  std::string_view language_;
  std::vector<Sentence> out_;
  std::vector<Piece> pieces_, code_;
  std::optional<Piece> row_;
  Sentence::Kind kind_ = Sentence::Kind::kProse;
  std::string fence_;
  bool code_hidden_ = false, in_comment_ = false;
};

}  // namespace

std::vector<Sentence> split_sentences(std::string_view passage, std::uint32_t first_line,
                                      std::string_view language) {
  return Splitter(passage, first_line, language).split();
}

}  // namespace knap::answer
