#pragma once

#include <cstdint>
#include <string_view>

#include "knap/base/result.hpp"
#include "knap/vault/note.hpp"

namespace knap::vault {

struct PassageOptions {
  /// Sizes of a passage in estimated model tokens (about 4 bytes of Latin text, 1 CJK character).
  /// Small neighbours under the same heading are joined up to target; a block is cut only above
  /// max.
  std::uint32_t target_tokens = 180;
  std::uint32_t max_tokens = 250;
};

struct ParseOptions {
  PassageOptions passages;
  std::uint32_t max_nesting = 64;       ///< Deeper YAML, lists and quotes are read as text.
  std::uint32_t max_passages = 20'000;  ///< A file with more is cut there, with a warning.
};

/// Type by extension (case-folded) and, for Markdown, by content (Excalidraw's front matter key).
FileType file_type(std::string_view path);

/// Reads one file's bytes. Attachments (pdf, audio, image, other) give a Note with name, title,
/// type and no passages.
/// @param path  relative to the vault, '/'-separated, NFC
/// @param bytes  the file as read; may be any bytes
/// Errors: kUnsupported (binary content under a text name); kCorruptData (canvas that is no JSON).
/// Never fails on odd Markdown or YAML: these are read as text, with a warning.
/// Cost: linear in the size. Threads: pure.
Result<Note> parse(std::string_view path, std::string_view bytes, const ParseOptions& options = {});

}  // namespace knap::vault
