#include <algorithm>
#include <string>
#include <string_view>

#include "knap/base/text.hpp"
#include "sentences.hpp"

namespace knap::answer {
namespace {

/// A link, comment or tag longer than this is not one, but text with an odd bracket.
constexpr std::size_t kMaxConstruct = 2'000;

std::size_t find_within(std::string_view s, std::string_view what, std::size_t from) {
  const std::size_t at = s.substr(0, std::min(s.size(), from + kMaxConstruct)).find(what, from);
  return at;
}

/// Reads one Markdown construct at a time; each function moves `at` past what it took, or says no.
class Reader {
 public:
  explicit Reader(std::string_view source) : s_(source) {}

  std::string read() {
    while (at_ < s_.size()) {
      if (escape() || comment() || wikilink() || markdown_link() || footnote() || html() ||
          emphasis() || block_id()) {
        continue;
      }
      out_ += s_[at_++];
    }
    return join_space(out_);
  }

 private:
  bool starts(std::string_view what) const { return s_.substr(at_).starts_with(what); }

  bool escape() {
    if (s_[at_] != '\\' || at_ + 1 >= s_.size()) return false;
    const char next = s_[at_ + 1];
    if (std::string_view("\\`*_{}[]()#+-.!|<>~=^$%").find(next) == std::string_view::npos)
      return false;
    out_ += next;
    at_ += 2;
    return true;
  }

  bool comment() {
    for (const auto& [open, close] :
         {std::pair<std::string_view, std::string_view>{"%%", "%%"},
          std::pair<std::string_view, std::string_view>{"<!--", "-->"}}) {
      if (!starts(open)) continue;
      const std::size_t end = find_within(s_, close, at_ + open.size());
      if (end == std::string_view::npos) continue;
      at_ = end + close.size();
      return true;
    }
    return false;
  }

  bool wikilink() {
    const bool embed = starts("![[");
    if (!embed && !starts("[[")) return false;
    const std::size_t open = at_ + (embed ? 3 : 2);
    const std::size_t close = find_within(s_, "]]", open);
    if (close == std::string_view::npos) {
      at_ = open;  // cut in the middle: the brackets alone say nothing
      return true;
    }
    if (!embed) {
      std::string_view inner = s_.substr(open, close - open);
      if (const std::size_t bar = inner.find('|'); bar != std::string_view::npos) {
        inner.remove_prefix(bar + 1);
      } else {
        // As Obsidian shows it: the heading alone of this note, "Note > Heading" of another.
        if (inner.starts_with('#')) inner.remove_prefix(1);
        for (const char c : inner) c == '#' ? out_.append(" > ") : out_.append(1, c);
        inner = {};
      }
      out_ += inner;
    }
    at_ = close + 2;
    return true;
  }

  bool markdown_link() {
    const bool image = starts("![");
    if (!image && s_[at_] != '[') return false;
    const std::size_t open = at_ + (image ? 2 : 1);
    const std::size_t middle = find_within(s_, "](", open);
    if (middle == std::string_view::npos ||
        s_.substr(open, middle - open).find('[') != std::string_view::npos) {
      return false;
    }
    // Targets may hold balanced parentheses, as Wikipedia's do.
    int depth = 1;
    std::size_t end = middle + 2;
    for (; end < s_.size() && end < middle + kMaxConstruct && depth > 0; ++end) {
      if (s_[end] == '(') ++depth;
      if (s_[end] == ')') --depth;
      if (s_[end] == ' ' && s_.substr(end + 1, 1) != "\"") break;
    }
    if (depth != 0) return false;
    if (!image) out_ += Reader(s_.substr(open, middle - open)).read_marks();
    at_ = end;
    return true;
  }

  bool footnote() {
    if (!starts("[^")) return false;
    const std::size_t close = find_within(s_, "]", at_ + 2);
    if (close == std::string_view::npos) return false;
    at_ = close + 1;
    return true;
  }

  bool html() {
    if (s_[at_] != '<' || at_ + 1 >= s_.size()) return false;
    const char next = s_[at_ + 1];
    const bool letter = (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z');
    if (!letter && next != '/') return false;
    const std::size_t close = find_within(s_, ">", at_ + 2);
    if (close == std::string_view::npos) return false;
    const std::string_view inner = s_.substr(at_ + 1, close - at_ - 1);
    if (inner.find("://") != std::string_view::npos || inner.find('@') != std::string_view::npos) {
      out_ += inner;  // an autolink is text
    } else if (inner.starts_with("br")) {
      out_ += ' ';
    }
    at_ = close + 1;
    return true;
  }

  bool emphasis() {
    const char c = s_[at_];
    if (starts("**") || starts("__") || starts("==") || starts("~~")) {
      // "==" with spaces around it is a comparison; "__init__" keeps its letters either way.
      const bool spaced =
          at_ > 0 && s_[at_ - 1] == ' ' && at_ + 2 < s_.size() && s_[at_ + 2] == ' ';
      if (spaced && c == '=') return false;
      if (c == '_' && inside_word(2)) return false;
      at_ += 2;
      return true;
    }
    if (c == '`') {
      ++at_;
      return true;
    }
    if (c != '*' && c != '_') return false;
    const bool space_before = at_ == 0 || s_[at_ - 1] == ' ';
    const bool space_after = at_ + 1 >= s_.size() || s_[at_ + 1] == ' ';
    if ((space_before && space_after) || (c == '_' && inside_word(1))) return false;
    ++at_;
    return true;
  }

  bool inside_word(std::size_t width) const {
    const auto wordy = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             (c & 0x80) != 0;
    };
    return at_ > 0 && at_ + width < s_.size() && wordy(s_[at_ - 1]) && wordy(s_[at_ + width]);
  }

  /// " ^block-id" at the very end.
  bool block_id() {
    if (s_[at_] != '^' || at_ == 0 || s_[at_ - 1] != ' ') return false;
    const std::string_view rest = text::trim(s_.substr(at_ + 1));
    const bool id = !rest.empty() && std::ranges::all_of(rest, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    });
    if (!id) return false;
    at_ = s_.size();
    return true;
  }

  /// Inside a link's text only marks can follow: no second level of links.
  std::string read_marks() {
    while (at_ < s_.size()) {
      if (escape() || emphasis()) continue;
      out_ += s_[at_++];
    }
    return std::move(out_);
  }

  static std::string join_space(std::string_view s) {
    std::string joined;
    bool space = false;
    for (const char c : s) {
      if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
        space = !joined.empty();
        continue;
      }
      if (space) joined += ' ';
      space = false;
      joined += c;
    }
    return joined;
  }

  std::string_view s_;
  std::size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::string plain_text(std::string_view markdown) { return Reader(markdown).read(); }

}  // namespace knap::answer
