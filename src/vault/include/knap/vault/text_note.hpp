#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "knap/vault/note.hpp"
#include "knap/vault/parse.hpp"

namespace knap::vault {

/// A stretch of text from a file that is no note: a PDF, a recording, a page of the web.
struct TextBlock {
  enum class Kind : std::uint8_t { kHeading, kParagraph, kListItem, kTableRow, kCode };
  Kind kind = Kind::kParagraph;
  std::uint8_t level = 0;   ///< Of a heading: 1-6.
  std::uint32_t place = 0;  ///< See Passage::place.
  /// UTF-8, one line, but for code. Cells of a row stand between " | ".
  std::string_view text;
};

/// A text without a file of its own, laid out as a note, and the note that comes of it.
struct TextNote {
  /// The blocks with marks of Markdown, an empty line between them. Lines of `note` count in it.
  std::string text;
  Note note;
};

/// Lays blocks out and cuts them into passages as notes are cut, with headings above them; none
/// reaches over a change of place. Type, name and the date of a daily note come from the path, as
/// parse() has them. Nothing in a block is read as Markdown: no links, tags or tasks come of it.
/// @param title  empty: the file's name
/// Cost: linear in the size. Threads: pure.
TextNote read_blocks(std::string_view path, std::string_view title,
                     std::span<const TextBlock> blocks, const ParseOptions& options = {});

}  // namespace knap::vault
