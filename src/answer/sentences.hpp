#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "knap/vault/note.hpp"

namespace knap::answer {

/// A part of a passage that can be quoted on its own.
struct Sentence {
  enum class Kind { kProse, kListItem, kTableRow, kCode };
  Kind kind = Kind::kProse;
  std::size_t begin = 0, end = 0;  ///< Bytes of the passage's text.
  vault::LineRange lines;          ///< In the file.
  std::string plain;               ///< As a reader sees it: one line, without marks.
};

/// Splits the verbatim Markdown of a passage into quotable sentences, in order. Headings, rules,
/// comments, table heads and query blocks of plugins give none. Pure; any bytes are fine.
/// @param first_line  of the passage in its file
/// @param language    ISO 639-1; chooses how "3. Oktober" is read
std::vector<Sentence> split_sentences(std::string_view passage, std::uint32_t first_line,
                                      std::string_view language);

/// Markdown as a reader sees it: emphasis, link targets, images, comments, HTML tags, footnote and
/// block marks removed, white space joined.
std::string plain_text(std::string_view markdown);

/// Ends of the sentences of one-line text, as byte offsets just past each; the last is text.size().
std::vector<std::size_t> sentence_ends(std::string_view text, std::string_view language);

/// A passage gives at most this many sentences: passages are cut to the embedding window, so this
/// is never reached by real ones.
inline constexpr std::size_t kMaxSentences = 256;

}  // namespace knap::answer
