#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "boilerplate.hpp"
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
    kNamed,      ///< A document, found by its name from now on; its text is still to come.
    kUnchanged,  ///< The same bytes as before: only the fingerprint is new.
    kKept,       ///< Could not be read now: the version before stays searchable, tried again later.
    kDropped,    ///< Skipped or failed: nothing of it is searchable.
    kVanished,
  } outcome = Outcome::kDropped;
  store::FileChange change;
  NoteMeta meta;                  ///< With kIndexed and kNamed.
  std::vector<std::string> tags;  ///< With kIndexed and kNamed.
  std::uint64_t bytes = 0;        ///< Size of what goes to the store.
  bool was_read = false, was_parsed = false;

  /// `change` replaces what was there.
  bool has_content() const { return outcome == Outcome::kIndexed || outcome == Outcome::kNamed; }
};

/// Reads, hashes and parses one file. Pure but for reading the file: safe from any thread.
Prepared prepare(const std::filesystem::path& root, FileTask task, std::uint64_t max_file_bytes);

/// Moves what is boilerplate in the passages aside; the passages' hashes change with their text.
void set_boilerplate_aside(Prepared& prepared, const Boilerplate& boilerplate);

/// A ledger row for what the walk found unfit to read ("named pipe", ...).
Prepared prepare_problem(FileTask task, std::string_view problem);

/// Parts of it, for readers of other files.
store::FileRecord record_of(const FileTask& task, store::FileState state, std::string reason);
void fill(Prepared& prepared, vault::Note note);
/// Plans the next try, later each time.
void plan_retry(const FileTask& task, store::FileRecord& record);
/// The file could not be opened or read.
void report_unreadable(Prepared& prepared, const Error& error, const std::filesystem::path& root);

/// What the embedding model reads, and whose hash names a passage: the headings in one line, then
/// the plain text.
/// @param headings  joined by '\n'
std::string embedded_text(std::string_view headings, std::string_view plain);

}  // namespace knap::index
