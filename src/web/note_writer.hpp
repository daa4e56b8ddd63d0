#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "knap/base/result.hpp"

namespace knap::web {

/// A file name (without extension) that every system and Obsidian's links take.
std::string note_name(std::string_view title);

/// Writes a new file NAME.md, or "NAME 2.md" and so on where that exists: never over one. It
/// appears whole. Gives the file's name. Errors: kFailedPrecondition (no such folder),
/// kAlreadyExists (too many of this name), kIo.
Result<std::string> write_new_note(const std::filesystem::path& folder, const std::string& name,
                                   std::string_view text);

}  // namespace knap::web
