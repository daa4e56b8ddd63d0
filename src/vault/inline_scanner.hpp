#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "document.hpp"
#include "knap/vault/note.hpp"

namespace knap::vault {

/// Reads the inline content of scanned lines: writes Document::plain, and collects links, tags and
/// block ids.
///
/// Linear: every search for a closing mark is remembered when it fails, or bounded by a named
/// length.
class InlineScanner {
 public:
  InlineScanner(Document& document, Note& note);

  /// Lines [begin, end) in order; each line is read once.
  void scan(std::size_t begin, std::size_t end);

  /// Plain text of one piece of inline Markdown, without collecting anything.
  static std::string plain_text(std::string_view markdown);

 private:
  /// Answers "where is the next one at or after here" for growing positions in constant amortised
  /// time.
  class Finder {
   public:
    void reset() { known_ = false; }
    std::size_t find(std::string_view text, std::string_view needle, std::size_t from);

   private:
    bool known_ = false;
    std::size_t from_ = 0;
    std::size_t at_ = 0;
  };
  struct Delimiter {
    std::size_t plain = 0;
    std::size_t length = 0;
  };
  struct Bracket {
    std::size_t plain = 0;  ///< Of the '[' kept for now.
    bool image = false;
    bool footnote = false;
  };
  struct Removal {
    std::size_t plain = 0;
    std::size_t length = 0;
  };

  std::size_t gather_unit(std::size_t begin, std::size_t end);
  void scan_unit();
  void finish_unit();
  void code_line(std::size_t index);
  /// Reads the construct at pos_ and moves past it; false: it is ordinary text.
  bool special(char c);
  bool code_span();
  bool math_span();
  bool comment();
  bool wikilink(bool embed);
  bool close_bracket();
  bool inline_destination(const Bracket& bracket, std::string_view text);
  bool reference(const Bracket& bracket, std::string_view text);
  bool angle();
  bool entity();
  bool tag();
  bool bare_url();
  bool delimiter_run(char c);
  bool footnote_mark();
  void cell_border();

  char before() const { return pos_ > 0 ? unit_[pos_ - 1] : '\n'; }
  void copy(std::size_t end);  ///< unit_[pos_, end) as it stands.
  void emit_text(std::string_view text);
  void add_cuts(std::size_t raw_begin, std::size_t raw_end, std::size_t plain_begin);
  void add_link(Link link);
  void add_markdown_link(std::string_view destination, std::string_view text, bool image);
  std::uint32_t line_number() const;
  void add_tag(std::string_view name);

  Document& document_;
  Note& note_;
  std::string& out_;

  // The unit at hand: a paragraph, an item, a heading, a table row.
  std::string_view unit_;
  std::string joined_;                    ///< Backs unit_ when it has several lines.
  std::vector<std::size_t> unit_lines_;   ///< Where each line begins in unit_.
  std::vector<std::size_t> plain_lines_;  ///< Where each line begins in out_.
  std::size_t unit_first_ = 0;            ///< Index of its first line.
  std::size_t unit_plain_ = 0;            ///< out_.size() at its start.
  std::size_t unit_cuts_ = 0;
  std::size_t pos_ = 0;
  bool row_ = false;
  bool long_line_ = false;
  std::array<std::vector<Delimiter>, 4> openers_;  ///< For * _ ~ =
  std::vector<Bracket> brackets_;
  std::vector<Removal> removals_;
  Finder comment_end_, wikilink_end_, angle_end_, html_comment_end_, paren_end_, line_end_;
  std::size_t math_dead_ = 0;
  bool backticks_known_ = false;
  std::array<std::size_t, 81> backticks_last_{};
};

}  // namespace knap::vault
