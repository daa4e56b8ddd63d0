#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"
#include "knap/vault/note.hpp"

namespace knap::index {

/// What the store keeps of a note besides its passages, title, name, language and tags.
struct NoteMeta {
  vault::FileType type = vault::FileType::kMarkdown;
  std::vector<std::string> aliases;
  std::vector<vault::Property> properties;
  std::vector<vault::Heading> headings;
  std::vector<vault::Link> links;
  std::int64_t created_s = 0;  ///< 0: unknown.
  bool has_open_task = false;
  bool has_done_task = false;
};

NoteMeta meta_of(const vault::Note& note);

/// Compact bytes: a version, then numbers as LEB128 and texts with their length. The store's copy
/// is derived data: bytes of another version are no error of the user's, the note is read again.
std::string encode(const NoteMeta& meta);
/// Errors: kCorruptData. Never reads outside of `bytes`, never allocates more than they can hold.
Result<NoteMeta> decode(std::string_view bytes);

/// Unix time of a local date, taken as UTC: Obsidian keeps no zone.
std::int64_t unix_seconds(const vault::DateTime& time);
/// "2026-01-31" or "2026-01-31T14:05:00".
std::string iso_text(const vault::DateTime& time);

std::string join_lines(const std::vector<std::string>& parts);
std::vector<std::string> split_lines(std::string_view joined);

}  // namespace knap::index
