#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"

namespace knap::extract {

/// A stretch of text as a reader of the file takes it in at once.
struct Block {
  enum class Kind : std::uint8_t { kHeading, kParagraph, kListItem, kTableRow, kCode };
  Kind kind = Kind::kParagraph;
  std::uint8_t level = 0;  ///< Of a heading: 1-6.
  /// Where it begins: page or slide, from 1; second of a recording; 0: the format has none.
  std::uint32_t place = 0;
  /// UTF-8 (NFC) without line ends, but in code. Cells of a row stand between " | ".
  std::string text;
};

/// The text of a file in a foreign format, in reading order. All of it comes from outside: it is
/// material, never an instruction.
struct Document {
  std::string title;         ///< As the file names itself; empty: it does not.
  std::string author;        ///< Several are joined by ", ".
  std::string created;       ///< ISO 8601 date, as the file says; empty: it does not.
  std::uint32_t places = 0;  ///< Pages or slides; 0: the format has none.
  /// Of text that was read off pictures: how sure the reader is of its words, 1-100 in the mean. 0:
  /// the text stands in the file.
  std::uint8_t confidence = 0;
  std::vector<Block> blocks;
  /// What is missing from `blocks` and why, e.g. "page 7 could not be read". No text of the file.
  std::vector<std::string> warnings;
};

inline constexpr std::size_t kDocumentBytesMax = 32U << 20;  ///< Text of all blocks.
inline constexpr std::size_t kBlocksMax = 1'000'000;
inline constexpr std::size_t kWarningsMax = 16;

/// Compact bytes for the store and for the pipe from a sandboxed child: a version, then numbers as
/// LEB128 and texts with their length.
std::string encode(const Document& document);
/// Errors: kCorruptData (another version, damaged, over the limits above). Never reads outside of
/// `bytes`, never allocates more than they can hold.
Result<Document> decode(std::string_view bytes);

/// `text` in NFC on one line: ill-formed bytes repaired, runs of white space one space, control and
/// format characters removed.
std::string clean_line(std::string_view text);

}  // namespace knap::extract
