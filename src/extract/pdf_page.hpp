#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"

namespace knap::extract {

/// Points (1/72 inch) from the top left corner of a page.
struct Box {
  float left = 0, top = 0, right = 0, bottom = 0;
  float width() const { return right - left; }
  float height() const { return bottom - top; }
  float middle() const { return (top + bottom) / 2; }
};

/// Words that stand side by side without a wide gap: a line of a column, or a cell of a table.
struct TextLine {
  Box box;
  float size = 0;  ///< Median height of its words: grows with the font.
  std::string text;
};

struct Page {
  std::uint32_t number = 0;  ///< From 1, as the file counts.
  float width = 0, height = 0;
  std::vector<TextLine> lines;  ///< In no promised order.
};

inline constexpr std::size_t kLinesPerPageMax = 5'000;

/// Reads what `pdftotext -bbox-layout` writes: XHTML with page, flow, block, line and word
/// elements.
/// @param first_page  number of the first page in it
/// Errors: kCorruptData (no such XML). Odd numbers and empty words are left out.
Result<std::vector<Page>> read_pages(std::string_view xml, std::uint32_t first_page);

/// The lines of a page in the order in which they are read, in groups that belong together.
struct Row {
  std::vector<TextLine> cells;  ///< One, or the cells of a table's row, left to right.
  bool table = false;
};
/// Lines of one column, top to bottom.
using Column = std::vector<Row>;

/// Finds columns by recursive cuts: at gutters that few lines cross, those lines being bands of
/// their own; else at wide gaps between lines. Rows whose cells stand beside each other stay
/// together as rows of a table. After: Nagy and Seth, Hierarchical representation of optically
/// scanned documents (XY cut), 1984.
std::vector<Column> reading_order(const Page& page);

}  // namespace knap::extract
