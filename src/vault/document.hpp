#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace knap::vault {

/// What a line is for the reader of the note.
enum class LineKind : std::uint8_t {
  kBlank,
  kText,      ///< Inline Markdown.
  kHeading,   ///< Inline Markdown of a heading.
  kTableRow,  ///< Inline Markdown in cells.
  kCode,      ///< Kept as it stands; math as well.
  kHidden,    ///< Fences, rules, comments, link definitions, table delimiters: no reader sees it as
              ///< text.
};

struct Line {
  std::string_view text;  ///< Without line end.
  std::uint32_t content =
      0;  ///< Byte of `text` where the inline content begins, after quote and list marks.
  std::uint32_t plain_begin = 0;  ///< Its part of Document::plain.
  std::uint32_t plain_end = 0;
  char32_t task_state = 0;  ///< 0: no task.
  LineKind kind = LineKind::kBlank;
  bool unit_start = false;  ///< A paragraph, list item, heading or row begins here.
  bool item_start = false;
  bool callout_title = false;
};

enum class BlockKind : std::uint8_t {
  kHeading,
  kParagraph,
  kList,
  kTable,
  kCode,
  kCallout,
  kQuote,
  kMath,
  kHidden
};

/// A top-level block; lines are 0-based indices, inclusive.
struct Block {
  BlockKind kind = BlockKind::kParagraph;
  std::uint8_t level = 0;  ///< Of a heading.
  std::uint32_t first = 0;
  std::uint32_t last = 0;
};

/// A place where a long line may be cut: the same spot in the line's text and in Document::plain.
struct CutPoint {
  std::uint32_t line = 0;
  std::uint32_t raw = 0;      ///< Byte in Line::text.
  std::uint32_t plain = 0;    ///< Byte in Document::plain.
  std::uint8_t strength = 0;  ///< 0 anywhere, 1 between words, 2 between sentences.
};

struct BlockMark {
  std::uint32_t line = 0;
  std::string id;
};

/// Lines longer than this get cut points.
inline constexpr std::size_t kLongLineBytes = 500;
/// A file with more lines is read up to here: each costs a Line.
inline constexpr std::size_t kLinesMax = 2'000'000;

/// A Markdown text on its way from bytes to passages. The views point into the text given to
/// split_lines().
struct Document {
  std::vector<Line> lines;
  std::vector<Block> blocks;
  std::string plain;
  std::vector<CutPoint> cuts;          ///< In order of the text.
  std::vector<BlockMark> block_marks;  ///< In order of the lines.
  std::unordered_map<std::string, std::string>
      link_definitions;                 ///< Case-folded label -> destination.
  bool truncated = false;               ///< The text had more than kLinesMax lines.
  std::uint32_t first_line_number = 1;  ///< Number in the file of lines[0].
  bool one_line_number = false;         ///< All lines stand on first_line_number: a canvas card.
  std::vector<std::uint32_t> places;    ///< Of each line, see Passage::place; empty: none has one.

  std::uint32_t number(std::size_t index) const {
    return one_line_number ? first_line_number
                           : first_line_number + static_cast<std::uint32_t>(index);
  }
  std::uint32_t place(std::size_t index) const { return index < places.size() ? places[index] : 0; }
  std::string_view plain_of(const Line& line) const {
    return std::string_view(plain).substr(line.plain_begin, line.plain_end - line.plain_begin);
  }
};

/// Splits at LF and removes CR before it. A text whose only line ends are CR is split at those.
void split_lines(std::string_view text, Document& document);

}  // namespace knap::vault
