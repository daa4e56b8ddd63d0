#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "knap/search/index.hpp"
#include "knap/store/store.hpp"
#include "ledger.hpp"
#include "note_codec.hpp"

namespace knap::index {

/// One file read and understood, ready for the store and the index.
struct Prepared {
  FileTask task;
  enum class Outcome {
    kIndexed,    ///< New content: `change` replaces what was there.
    kUnchanged,  ///< The same bytes as before: only the fingerprint is new.
    kKept,       ///< Could not be read now: the version before stays searchable, tried again later.
    kDropped,    ///< Skipped or failed: nothing of it is searchable.
    kVanished,
  } outcome = Outcome::kDropped;
  store::FileChange change;
  NoteMeta meta;                  ///< With kIndexed.
  std::vector<std::string> tags;  ///< With kIndexed.
  std::uint64_t bytes = 0;        ///< Size of what goes to the store.
  bool was_read = false, was_parsed = false;
};

/// Reads, hashes and parses one file. Pure but for reading the file: safe from any thread.
Prepared prepare(const std::filesystem::path& root, FileTask task, std::uint64_t max_file_bytes);

/// A ledger row for what the walk found unfit to read ("named pipe", ...).
Prepared prepare_problem(FileTask task, std::string_view problem);

/// What the embedding model reads, and whose hash names a passage: the headings in one line, then
/// the plain text.
/// @param headings  joined by '\n'
std::string embedded_text(std::string_view headings, std::string_view plain);

}  // namespace knap::index
