#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"

namespace knap::vault {

/// What one stat says; equal fingerprints mean an unchanged file.
struct Fingerprint {
  std::uint64_t size_bytes = 0;
  std::int64_t mtime_ns = 0;
  std::uint64_t inode = 0;
  bool operator==(const Fingerprint&) const = default;
};

/// Which entries of a vault are not looked at: hidden ones, .trash, Obsidian's own "Excluded files"
/// (.obsidian/app.json, userIgnoreFilters: path prefixes, or regular expressions in slashes) and
/// the patterns of .knapignore (gitignore syntax). Threads: const methods are safe together.
class IgnoreRules {
 public:
  /// Reads the vault's rules. Unreadable or odd rule files are reported in warnings() and do not
  /// hide anything.
  static IgnoreRules load(const std::filesystem::path& root);

  enum class EntryKind { kFile, kFolder };
  /// @param path relative, '/'-separated. Returns the rule's reason, e.g. "hidden", ".knapignore
  /// line 3"; nothing: kept.
  std::optional<std::string> ignored(std::string_view path, EntryKind kind) const;
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  struct Rules;
  std::shared_ptr<const Rules> rules_;
  std::vector<std::string> warnings_;
};

struct WalkEntry {
  std::string path;  ///< Relative to the root, '/'-separated, exactly the bytes of the file system.
  Fingerprint fingerprint;
  /// Set for what cannot be indexed: "unreadable folder: ...", "symbolic link loop", "named pipe",
  /// "name is not UTF-8", "path deeper than 64 folders". Such an entry belongs in the ledger as
  /// skipped or failed.
  std::string problem;
};

struct WalkOptions {
  std::uint32_t max_depth = 64;
  std::uint64_t max_entries = 5'000'000;
};

/// Visits every file that is not ignored, in no promised order; one stat each. Symbolic links are
/// followed to files and folders inside and outside the vault, each real folder once. A folder that
/// vanishes meanwhile is not an error. Errors: kNotFound, kPermissionDenied (the root itself);
/// kCancelled; kResourceExhausted (max_entries).
Status walk(const std::filesystem::path& root, const IgnoreRules& rules, const WalkOptions& options,
            const CancelToken& cancel, const std::function<void(const WalkEntry&)>& visit);

/// The fingerprint of one file; nothing when it is gone or no regular file.
std::optional<Fingerprint> fingerprint(const std::filesystem::path& file);

}  // namespace knap::vault
