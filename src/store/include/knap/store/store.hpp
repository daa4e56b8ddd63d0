#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/hash.hpp"
#include "knap/base/result.hpp"
#include "knap/observe/metrics.hpp"

/// Durable state: one SQLite database (WAL) in the data folder. What stands here is a copy of what
/// the vaults say plus the embeddings; after a crash the vault is the truth and a walk repairs the
/// rest. The schema stands in migrations.cpp.
namespace knap::store {

enum class VaultId : std::int64_t {};
/// Unique over all vaults. Chosen by the caller from next_file_id(); never used again within a run.
enum class FileId : std::int64_t {};
enum class ModelKey : std::int64_t {};

/// A passage's row number is its file's id and its ordinal side by side, so that a file's passages
/// are one key range.
inline constexpr int kOrdinalBits = 20;
inline constexpr std::uint32_t kPassagesPerFileMax = 1U << kOrdinalBits;
/// Two: while a snapshot under a new mark is being written, the older file still fits.
inline constexpr int kMarksKept = 2;

struct PassageKey {
  FileId file{};
  std::uint32_t ordinal = 0;
  bool operator==(const PassageKey&) const = default;
};

/// Numbers are stored: never renumber.
enum class FileState : std::uint8_t { kIndexed = 0, kSkipped = 1, kFailed = 2, kStale = 3 };

struct FileRecord {
  FileId id{};
  std::string path;  ///< Bytes of the file system, relative, '/'-separated.
  std::uint64_t size_bytes = 0;
  std::int64_t mtime_ns = 0;
  std::uint64_t inode = 0;
  std::optional<Hash128> hash;  ///< Of the content; nothing when never read.
  FileState state = FileState::kIndexed;
  std::string reason;
  std::uint32_t attempts = 0;    ///< Failed readings in a row.
  std::int64_t retry_at_ms = 0;  ///< Unix time; 0: no retry planned.
  std::int64_t indexed_at_ms = 0;
  std::uint32_t parser_version = 0;
};

struct NoteRecord {
  std::string title, name, language;
  std::string tags;  ///< Joined by '\n'.
  std::string meta;  ///< Opaque to the store.
};

struct PassageRecord {
  Hash128 hash;
  std::uint8_t kind = 0;
  std::uint32_t first_line = 1, last_line = 1;
  std::uint32_t place = 0;  ///< Page, slide or second; 0: none.
  std::string block;
  std::string headings;  ///< Joined by '\n'.
  std::string text, plain;
  std::string faint;  ///< Boilerplate that was taken out of plain; equal to plain: all of it is.
};

/// A change of one file. Its passages count at most kPassagesPerFileMax.
struct FileChange {
  FileRecord file;
  enum class Content { kReplace, kKeep, kDrop } content = Content::kKeep;
  NoteRecord note;                      ///< With kReplace.
  std::vector<PassageRecord> passages;  ///< With kReplace.
};

struct WriteBatch {
  std::vector<FileChange> changes;
  std::vector<FileId> deletes;  ///< Done first, so that a path may move to a new id in one batch.
};

/// A passage with what its note adds, as search results need it.
struct PassageRow {
  PassageRecord passage;
  VaultId vault{};
  std::string path, title, name, language, tags;
  std::int64_t mtime_ns = 0;
};

struct LoadedPassage {
  Hash128 hash;
  std::uint32_t first_line = 1, last_line = 1;
  std::string headings, plain, faint;
};
/// A moment in the life of a vault's rows, for what is derived from them and kept elsewhere.
struct Mark {
  std::uint64_t stamp =
      0;  ///< Random: neither a store made anew nor one put back from a copy knows it.
  std::uint64_t changes = 0;  ///< Of the vault up to then, see Store::changes().
};

struct LoadedNote {
  FileId id{};
  NoteRecord note;
  std::vector<LoadedPassage> passages;
};

struct MissingEmbedding {
  Hash128 hash;
  PassageKey passage;  ///< One of the passages with this hash.
};

/// Who takes the text out of files: a number for each kind of reader, and its version.
struct ReaderVersion {
  std::uint32_t reader = 0;
  std::uint32_t version = 0;
};

struct EmbeddingRecord {
  Hash128 hash;
  std::span<const std::int8_t> values;
};

struct StoreOptions {
  std::filesystem::path data_dir;
  std::size_t readers = 4;               ///< Connections for reading, 1 to 20.
  observe::Registry* metrics = nullptr;  ///< May be null.
};

/// Threads: all methods are safe from any thread. Reads run beside each other and beside one write;
/// writes take turns. Durability: each method that writes is one transaction; after a crash the
/// last ones may be missing, never parts. Errors of every method: kCorruptData (names the file,
/// says what to do), kIo, kResourceExhausted (disk full: nothing is changed), kPermissionDenied,
/// kUnavailable (busy for longer than the time-out).
class Store {
 public:
  /// Makes the folder when absent. Errors besides: kAlreadyExists (another process uses the
  /// folder), kFailedPrecondition (written by a newer knap).
  static Result<std::unique_ptr<Store>> open(StoreOptions options);
  virtual ~Store() = default;

  virtual const std::filesystem::path& file() const = 0;
  /// The lowest number above all file ids in use.
  virtual Result<std::int64_t> next_file_id() const = 0;

  /// The vault's id, made when new.
  virtual Result<VaultId> vault(std::string_view name, const std::filesystem::path& root) = 0;
  /// What was learned of the vault's boilerplate, opaque to the store; empty: nothing yet.
  virtual Result<std::string> boilerplate(VaultId vault) const = 0;
  virtual Status set_boilerplate(VaultId vault, std::string_view learned) = 0;
  virtual Status files(VaultId vault, const std::function<void(FileRecord)>& visit) const = 0;
  virtual Status apply(VaultId vault, const WriteBatch& batch) = 0;
  /// How many times apply() has changed the vault's rows.
  virtual Result<std::uint64_t> changes(VaultId vault) const = 0;
  /// Marks the vault's rows as they are now. The newest kMarksKept marks of a vault are kept.
  virtual Result<Mark> mark(VaultId vault) = 0;
  /// The mark of a stamp; nothing when the store does not know it (any more): what was derived then
  /// says nothing about these rows. Otherwise it differs from them by the notes with a higher
  /// change number and by those that are gone.
  virtual Result<std::optional<Mark>> find_mark(VaultId vault, std::uint64_t stamp) const = 0;

  /// All notes of a vault with their passages, by rising id. `visit` returns false to stop.
  virtual Status notes(VaultId vault, const std::function<bool(LoadedNote)>& visit) const = 0;
  /// The same without passages, and with the number of the change that wrote the note last.
  using NoteVisitor = std::function<void(FileId, NoteRecord, std::uint64_t change)>;
  virtual Status note_records(VaultId vault, const NoteVisitor& visit) const = 0;
  virtual Result<std::optional<LoadedNote>> note(FileId file) const = 0;
  /// Row i answers key i; nothing where it is gone.
  virtual Result<std::vector<std::optional<PassageRow>>> passages(
      std::span<const PassageKey> keys) const = 0;
  virtual Result<std::vector<Hash128>> passage_hashes(FileId file) const = 0;
  /// The passage of the file whose lines hold `line`; nothing when none does.
  virtual Result<std::optional<std::uint32_t>> passage_at(FileId file,
                                                          std::uint32_t line) const = 0;

  virtual Result<ModelKey> model(std::string_view id) = 0;
  virtual Status put_embeddings(ModelKey model, std::span<const EmbeddingRecord> records,
                                std::int64_t now_ms) = 0;
  /// Calls `visit(i, values)` for each of the hashes that is there.
  virtual Status embeddings(
      ModelKey model, std::span<const Hash128> hashes,
      const std::function<void(std::size_t, std::span<const std::int8_t>)>& visit) const = 0;
  /// Which model's vectors searches use, kept over a restart: the name that model() was given.
  /// Empty: none has served yet.
  virtual Result<std::string> serving_model() const = 0;
  virtual Status set_serving_model(ModelKey model) = 0;
  /// All of the model that a passage of the vault uses.
  virtual Status used_embeddings(
      ModelKey model, VaultId vault,
      const std::function<void(const Hash128&, std::span<const std::int8_t>)>& visit) const = 0;
  /// Passages of these vaults without an embedding, each hash once, by rising hash above `after`
  /// (nothing: from the first).
  virtual Result<std::vector<MissingEmbedding>> missing_embeddings(ModelKey model,
                                                                   std::span<const VaultId> vaults,
                                                                   std::optional<Hash128> after,
                                                                   std::size_t limit) const = 0;
  /// How many distinct passages of these vaults have none.
  virtual Result<std::uint64_t> count_missing_embeddings(ModelKey model,
                                                         std::span<const VaultId> vaults) const = 0;
  /// For each file: how many of its passages have no embedding of the model.
  virtual Result<std::vector<std::uint32_t>> missing_in_files(
      ModelKey model, std::span<const FileId> files) const = 0;
  /// Which of the vaults hold a passage with the hash.
  virtual Result<std::vector<VaultId>> vaults_with(const Hash128& hash) const = 0;

  /// What was taken out of a file with this content by this version of a reader, in a form of the
  /// caller's own; nothing when it is not known. Belongs to the content: copies share it.
  virtual Result<std::optional<std::string>> extraction(const Hash128& content,
                                                        const ReaderVersion& by) const = 0;
  /// Replaces what another version of the reader took out.
  virtual Status put_extraction(const Hash128& content, const ReaderVersion& by,
                                std::string_view bytes, std::int64_t now_ms) = 0;
  /// Forgets extractions whose content no file has any more and that were made before the given
  /// time, at most `limit`; returns how many.
  virtual Result<std::size_t> collect_extractions(std::int64_t made_before_ms,
                                                  std::size_t limit) = 0;

  /// Forgets embeddings that no passage uses and that were made before the given time, at most
  /// `limit`; returns how many.
  virtual Result<std::size_t> collect_garbage(std::int64_t made_before_ms, std::size_t limit) = 0;
  /// Moves the write-ahead log into the main file, as far as readers allow.
  virtual Status checkpoint() = 0;
  /// A whole transaction that writes a page and changes nothing. Errors: kIo, e.g. a full disk.
  virtual Status check_write() = 0;
};

}  // namespace knap::store
