#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "knap/extract/web_page.hpp"
#include "knap/web/fetch.hpp"

namespace knap::web {

/// A passage that speaks to a machine instead of to readers: a hint for people, no defence.
struct Flag {
  std::string kind;  ///< "override", "role", "marker" or "secrets".
  std::string text;  ///< Of the passage, shortened.
};
inline constexpr std::size_t kFlagsMax = 20;

/// Looks for such passages, in English, German, French and Spanish. Never complete.
std::vector<Flag> find_instructions(const extract::Document& document);

struct Imported {
  std::string requested;  ///< As asked for.
  std::string address;    ///< Where it came from, after redirects.
  std::string canonical;  ///< What the page says of itself; empty: nothing.
  std::string title, author, published, site, language, description, markdown;
  std::string fetched;  ///< UTC, as in 2026-11-28T10:00:00Z.
  std::string hash;     ///< SHA-256 of the page as it came.
  std::vector<Flag> flags;
  std::string note_vault, note;  ///< The note that was written, within its vault; empty: none was.
};

struct ImportOptions {
  FetchOptions fetch;
  extract::PageOptions page;
  std::filesystem::path kept_dir;       ///< Made when needed.
  std::filesystem::path note_folder;    ///< Must exist when a note is asked for; empty: none.
  std::string note_vault, note_prefix;  ///< The vault that holds it, and its path there with '/'.
};

/// A page as a note: properties that tell where it comes from, `trust: untrusted`, its Markdown.
std::string note_of(const Imported& page);
/// The name under which that is kept besides the owner's notes: "Title 0a1b2c3d.web.md", the same
/// for an address whenever it is fetched.
std::string kept_name(const Imported& page);

/// Brings web pages in: fetches, reads in the sandbox, keeps what came out with its provenance in
/// kept_dir/HASH.json, and writes a note where asked.
///
/// Threads: safe. At most kImportsAtOnce run; others are refused.
class Importer {
 public:
  static constexpr std::size_t kImportsAtOnce = 2;
  static constexpr std::uint64_t kKeptBytesMax = 1ULL << 30;  ///< Older pages go first.

  explicit Importer(ImportOptions options) : options_(std::move(options)) {}

  enum class Note { kNone, kWrite };
  /// Errors: as fetch_page() and extract::read_page(), where a page that cannot be read is
  /// kUnsupported; kFailedPrecondition (a note is asked for and no folder is set, or it is not
  /// there); kUnavailable (kImportsAtOnce are running); kIo.
  /// A note never replaces a file: a number is added to its name.
  Result<Imported> import(const std::string& address, Note note, Deadline deadline,
                          const CancelToken& cancel);
  const ImportOptions& options() const { return options_; }

 private:
  const ImportOptions options_;
  std::atomic<std::size_t> running_{0};
};

}  // namespace knap::web
