#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace knap::extract::html {

/// A line of running text that is put together from pieces of several styles.
class MarkdownLine {
 public:
  enum Style : std::uint8_t { kPlain = 0, kBold = 1, kItalic = 2, kCode = 4, kStruck = 8 };

  /// White space runs become one space, none at the beginning.
  void add(std::string_view text, std::uint8_t style, std::string_view address);
  void add_break();
  /// A link that is no text of the page: of a picture or a video.
  void add_object(std::string_view label, std::string_view address);

  bool empty() const { return pieces_.empty(); }
  void clear();

  enum class Place { kBlock, kCell };
  /// As Markdown, escaped; breaks are line ends, in a cell spaces.
  std::string marked(Place place) const;
  std::string plain() const;  ///< Without marks and objects, on one line.

 private:
  struct Piece {
    std::string text;
    std::string address;
    std::uint8_t style = kPlain;
    enum class Kind : std::uint8_t { kText, kBreak, kObject } kind = Kind::kText;
  };
  void write_piece(const Piece& piece, char next, std::string& out) const;

  std::vector<Piece> pieces_;
  bool pending_space_ = false;
};

/// Text in which nothing is Markdown. `at_start`: of a line.
std::string escape_markdown(std::string_view text, bool at_start);
/// Code that no plugin runs: Templater's opening mark is broken up.
std::string harmless_code(std::string_view code);

}  // namespace knap::extract::html
