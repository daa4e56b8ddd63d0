#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "blocks.hpp"
#include "knap/base/text.hpp"
#include "office.hpp"

namespace knap::extract {
namespace {

constexpr std::size_t kGroupsMax = 1'000;
constexpr std::size_t kParagraphBytesMax = 1U << 20;

/// What a group holds that is no text of the document.
bool is_aside(std::string_view word) {
  static constexpr std::array<std::string_view, 24> kAsides{
      "fonttbl", "colortbl",  "stylesheet", "info",      "pict",      "header",
      "headerl", "headerr",   "headerf",    "footer",    "footerl",   "footerr",
      "footerf", "object",    "xe",         "tc",        "listtext",  "pntext",
      "fldinst", "bkmkstart", "bkmkend",    "themedata", "datastore", "nonesttables"};
  return std::find(kAsides.begin(), kAsides.end(), word) != kAsides.end();
}

struct Group {
  bool aside = false;
  unsigned skip = 1;  ///< Characters after a \u that stand for it (\ucN).
};

class RtfReader {
 public:
  RtfReader(std::string_view bytes, Document& out) : in_(bytes), out_(out) {}

  void read() {
    while (at_ < in_.size() && !out_.full()) {
      const char c = in_[at_++];
      if (c == '{') {
        if (groups_.size() < kGroupsMax) groups_.push_back(groups_.back());
      } else if (c == '}') {
        if (groups_.size() > 1) groups_.pop_back();
      } else if (c == '\\') {
        control();
      } else if (c != '\r' && c != '\n') {
        put_byte(c);
      }
    }
    end_paragraph();
  }

 private:
  void control() {
    if (at_ >= in_.size()) return;
    const char c = in_[at_];
    if (c == '\'') return hex();
    const auto letter = [](char a) { return (a >= 'a' && a <= 'z') || (a >= 'A' && a <= 'Z'); };
    if (!letter(c)) {
      ++at_;
      if (c == '*') groups_.back().aside = true;
      if (c == '~') put(U' ');
      if (c == '_') put(U'-');
      if (c == '\\' || c == '{' || c == '}') put_byte(c);
      if (c == '\n' || c == '\r') end_paragraph();
      return;
    }
    const std::size_t begin = at_;
    while (at_ < in_.size() && letter(in_[at_])) ++at_;
    const std::string_view word = in_.substr(begin, at_ - begin);
    int value = 0;
    const char* digits = in_.data() + at_;
    const auto [end, error] = std::from_chars(digits, in_.data() + in_.size(), value);
    const bool has_value = error == std::errc();
    at_ += static_cast<std::size_t>(end - digits);
    if (at_ < in_.size() && in_[at_] == ' ') ++at_;
    apply(word, value, has_value);
  }

  void hex() {
    ++at_;
    if (at_ + 2 > in_.size()) return;
    int value = 0;
    const auto [end, error] = std::from_chars(in_.data() + at_, in_.data() + at_ + 2, value, 16);
    if (error == std::errc()) put_byte(static_cast<char>(value));
    at_ += 2;
  }

  void apply(std::string_view word, int value, bool has_value) {
    Group& group = groups_.back();
    if (is_aside(word)) {
      group.aside = true;
      if (word == "listtext" || word == "pntext") item_ = true;
    } else if (word == "bin") {
      at_ += std::min(in_.size() - at_, static_cast<std::size_t>(std::max(value, 0)));
    } else if (word == "u" && has_value) {
      unicode(value);
    } else if (word == "uc") {
      group.skip = has_value ? static_cast<unsigned>(std::clamp(value, 0, 8)) : 1;
    } else if (group.aside) {
      return;
    } else if (word == "par" || word == "sect" || word == "page") {
      end_paragraph();
    } else if (word == "line" || word == "tab") {
      put(U' ');
    } else if (word == "cell") {
      cells_.push_back(std::exchange(text_, {}));
    } else if (word == "row") {
      out_.row(cells_);
      cells_.clear();
      text_.clear();
    } else if (word == "pard") {
      level_ = 0;
      in_table_ = false;
    } else if (word == "intbl") {
      in_table_ = true;
    } else if (word == "outlinelevel") {
      level_ = has_value && value >= 0 && value < 9 ? static_cast<std::uint8_t>(value + 1) : 0;
    } else if (word == "emdash" || word == "endash") {
      put(word == "emdash" ? U'\u2014' : U'\u2013');
    } else if (word == "lquote" || word == "rquote") {
      put(word == "lquote" ? U'\u2018' : U'\u2019');
    } else if (word == "ldblquote" || word == "rdblquote") {
      put(word == "ldblquote" ? U'\u201C' : U'\u201D');
    } else if (word == "bullet") {
      put(U'\u2022');
    }
  }

  /// \uN is signed, and characters beyond 16 bits come as two.
  void unicode(int value) {
    to_skip_ = 0;
    const auto unit = static_cast<char32_t>(static_cast<std::uint16_t>(value));
    if (unit >= 0xD800 && unit < 0xDC00) {
      high_ = unit;
    } else if (unit >= 0xDC00 && unit < 0xE000) {
      put(high_ == 0 ? 0xFFFD : 0x10000 + ((high_ - 0xD800) << 10) + (unit - 0xDC00));
      high_ = 0;
    } else {
      put(unit);
    }
    to_skip_ = groups_.back().skip;
  }

  void put_byte(char byte) {
    if (to_skip_ > 0) {
      --to_skip_;
      return;
    }
    if (groups_.back().aside || text_.size() >= kParagraphBytesMax) return;
    text_ += from_windows_1252(std::string_view(&byte, 1));
  }

  void put(char32_t c) {
    if (groups_.back().aside || text_.size() >= kParagraphBytesMax) return;
    text::append(text_, c);
  }

  void end_paragraph() {
    if (groups_.back().aside) return;
    if (in_table_ && at_ < in_.size()) {
      text_ += ' ';  // a paragraph within a cell
      return;
    }
    if (level_ != 0) {
      out_.heading(level_, text_);
    } else {
      out_.add(item_ ? Block::Kind::kListItem : Block::Kind::kParagraph, text_);
    }
    text_.clear();
    item_ = false;
  }

  std::string_view in_;
  std::size_t at_ = 0;
  BlockWriter out_;
  std::vector<Group> groups_ = std::vector<Group>(1);
  std::string text_;
  std::vector<std::string> cells_;
  char32_t high_ = 0;
  unsigned to_skip_ = 0;
  std::uint8_t level_ = 0;
  bool item_ = false;
  bool in_table_ = false;
};

}  // namespace

Status read_rtf(std::string_view bytes, Document& out) {
  if (!bytes.starts_with("{\\rtf"))
    return make_error(ErrorCode::kCorruptData, "not such a file, in spite of its name");
  RtfReader(bytes, out).read();
  return {};
}

}  // namespace knap::extract
