#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/hash.hpp"
#include "knap/base/mutex.hpp"
#include "knap/index/service.hpp"
#include "knap/store/store.hpp"
#include "knap/vault/walk.hpp"

namespace knap::index {

/// Raised when parsing changes what comes out of a file: files of an older version are read again.
inline constexpr std::uint32_t kParserVersion = 2;

struct LedgerEntry {
  store::FileId id{};
  vault::Fingerprint
      fingerprint;  ///< Of what was read last; of a pending file: of what will be read.
  std::optional<Hash128> hash;
  FileState state = FileState::kPending;
  std::string reason;
  std::uint32_t attempts = 0;
  std::int64_t retry_at_ms = 0;
  std::int64_t indexed_at_ms = 0;
  std::uint32_t parser_version = 0;
  bool has_content = false;  ///< The store and the index hold a version of it.
  std::uint64_t ticket =
      0;  ///< Of the reading under way; a result with another ticket is out of date.
  std::uint64_t seen_in = 0;  ///< Number of the last walk that saw it.
  SteadyClock::time_point noticed{};
};

/// What there is to do for one file; given back with the result.
struct FileTask {
  std::string path;
  store::FileId id{};
  vault::Fingerprint fingerprint;
  std::uint64_t ticket = 0;
  std::optional<Hash128> known_hash;  ///< Set when equal content needs no parsing.
  bool had_content = false;
  std::uint32_t attempts = 0;
  bool is_new = false;
  std::uint32_t parser_version = kParserVersion;  ///< Of what reads it.
};

struct LedgerCounts {
  std::array<std::uint64_t, 5> by_state{};
  std::uint64_t total() const {
    return by_state[0] + by_state[1] + by_state[2] + by_state[3] + by_state[4];
  }
  std::uint64_t of(FileState state) const { return by_state[static_cast<std::size_t>(state)]; }
};

/// Every file of one vault with its state. The store keeps a copy of what is settled; pending is
/// known here only, for a walk finds it again. Threads: all methods are safe from any thread.
class Ledger {
 public:
  /// Numbers of new files; shared by all ledgers of a store.
  using NewId = std::function<store::FileId()>;

  void load(const store::FileRecord& record, bool has_content) KNAP_EXCLUDES(mutex_);

  enum class Recheck { kIfChanged, kAlways };
  /// A file was seen with this fingerprint. Nothing: it is unchanged. Else it is pending (or stale)
  /// from now on.
  /// @param parser_version  of what reads it now; what another read is read again
  std::optional<FileTask> notice(std::string_view path, const vault::Fingerprint& fingerprint,
                                 std::uint64_t walk, Recheck recheck, const NewId& new_id,
                                 std::uint32_t parser_version = kParserVersion)
      KNAP_EXCLUDES(mutex_);
  /// False: the file has changed or gone since the task was given out; its result must be thrown
  /// away.
  bool current(const FileTask& task) const KNAP_EXCLUDES(mutex_);
  /// The task is done: `record` is what the store holds now.
  void settle(const FileTask& task, const store::FileRecord& record, bool has_content)
      KNAP_EXCLUDES(mutex_);
  /// The file is known by name while its text is still to come: it stays pending.
  void hold(const FileTask& task) KNAP_EXCLUDES(mutex_);
  /// The task's result could not be stored: the file stays pending and is tried again.
  void postpone(const FileTask& task, std::string reason, std::int64_t retry_at_ms)
      KNAP_EXCLUDES(mutex_);
  /// The same for a file that has gone when the store did not take that: the next walk looks again.
  void release(std::string_view path) KNAP_EXCLUDES(mutex_);
  std::optional<store::FileId> remove(std::string_view path) KNAP_EXCLUDES(mutex_);

  std::optional<LedgerEntry> find(std::string_view path) const KNAP_EXCLUDES(mutex_);
  /// The path of the file system for a path that may be in another Unicode form.
  std::optional<std::string> find_path(std::string_view path) const KNAP_EXCLUDES(mutex_);
  /// Paths that the walk did not see.
  std::vector<std::string> unseen(std::uint64_t walk) const KNAP_EXCLUDES(mutex_);
  std::vector<std::string> below(std::string_view folder) const KNAP_EXCLUDES(mutex_);
  /// Paths whose retry is due.
  std::vector<std::string> due(std::int64_t now_ms) KNAP_EXCLUDES(mutex_);
  std::int64_t next_retry_ms() const KNAP_EXCLUDES(mutex_);

  LedgerCounts counts() const KNAP_EXCLUDES(mutex_);
  std::chrono::milliseconds lag() const KNAP_EXCLUDES(mutex_);
  /// At most `limit` entries after `after`, in the order of paths.
  std::vector<std::pair<std::string, LedgerEntry>> page(std::optional<FileState> state,
                                                        const std::optional<std::string>& after,
                                                        std::size_t limit) const
      KNAP_EXCLUDES(mutex_);

 private:
  using Entries = std::map<std::string, LedgerEntry, std::less<>>;
  void set_state(LedgerEntry& entry, FileState state) KNAP_REQUIRES(mutex_);
  void plan_retry(LedgerEntry& entry, std::int64_t at_ms) KNAP_REQUIRES(mutex_);

  mutable Mutex mutex_;
  Entries entries_ KNAP_GUARDED_BY(mutex_);
  LedgerCounts counts_ KNAP_GUARDED_BY(mutex_);
  std::uint64_t tickets_ KNAP_GUARDED_BY(mutex_) = 0;
  std::int64_t next_retry_ms_ KNAP_GUARDED_BY(mutex_) = 0;
};

std::int64_t unix_now_ms();

}  // namespace knap::index
