#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "boilerplate.hpp"
#include "knap/base/mutex.hpp"
#include "knap/index/service.hpp"
#include "knap/store/store.hpp"
#include "knap/vault/walk.hpp"
#include "knap/vault/watch.hpp"
#include "ledger.hpp"
#include "link_graph.hpp"
#include "reader.hpp"

namespace knap::index {

/// Of an index that holds no vectors.
inline constexpr std::uint32_t kDimensionsWithoutModel = 384;

/// What stands in the notes of a vault, as one sum: the same whatever the order they came in, and
/// kept up note by note. Threads: safe.
class NotePrints {
 public:
  /// @param file   print_of() the note's file
  /// @param links  LinkGraph::Published::fingerprint
  void set(store::FileId id, const Hash128& file, std::uint64_t links) KNAP_EXCLUDES(mutex_);
  /// The same note with another file row or other links; unknown ids are no error.
  void set_file(store::FileId id, const Hash128& file) KNAP_EXCLUDES(mutex_);
  void remove(store::FileId id) KNAP_EXCLUDES(mutex_);
  /// Hex of the sum and the count.
  std::string sum() const KNAP_EXCLUDES(mutex_);

 private:
  struct Print {
    Hash128 file;
    std::uint64_t links = 0;
  };
  void add(store::FileId id, const Print& print) KNAP_REQUIRES(mutex_);
  void drop(store::FileId id) KNAP_REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::unordered_map<store::FileId, Print> prints_ KNAP_GUARDED_BY(mutex_);
  std::uint64_t high_ KNAP_GUARDED_BY(mutex_) = 0, low_ KNAP_GUARDED_BY(mutex_) = 0;
};
/// Of all that a file gives to searches and results: its path, bytes, time, and how it was read
/// (a document is known by its name first).
Hash128 print_of(std::string_view path, const std::optional<Hash128>& content,
                 std::int64_t mtime_ns, std::uint32_t parser_version);

/// The search index of one vault. Threads: safe. Writers take turns; readers never wait for them.
class LiveIndex {
 public:
  LiveIndex(std::uint32_t dimensions, const search::RankingSettings& ranking);

  /// Held while what searches read is changed in several steps (store, then index).
  class Change {
   public:
    explicit Change(LiveIndex& index) : index_(index) { ++index_.begun_; }
    ~Change() { ++index_.ended_; }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

   private:
    LiveIndex& index_;
  };
  /// How many changes have begun; nothing while one is under way.
  std::optional<std::uint64_t> moment() const {
    const std::uint64_t ended = ended_.load();  // first: see below
    const std::uint64_t begun = begun_.load();
    // Both only grow, and ended <= begun: when they are equal none was under way at the first load.
    return ended == begun ? std::optional(begun) : std::nullopt;
  }

  const search::Index* get() const { return index_.get(); }
  /// Counted once an epoch: a count goes over all passages.
  search::IndexStats stats() const KNAP_EXCLUDES(mutex_);
  search::IndexStats stats_at(std::uint64_t epoch) const KNAP_EXCLUDES(mutex_);

  void apply(search::Index::Batch batch) KNAP_EXCLUDES(write_mutex_);
  /// Changes no result: see search::Index.
  void compact() { index_->compact(); }
  Status restore(std::string_view snapshot) KNAP_EXCLUDES(write_mutex_);
  Status set_vectors(std::span<const search::Index::VectorInput> vectors)
      KNAP_EXCLUDES(write_mutex_);
  Status replace_vectors(std::uint32_t dimensions, std::uint64_t space,
                         const std::function<Status(const search::Index::PutVector&)>& fill)
      KNAP_EXCLUDES(write_mutex_);

 private:
  const std::unique_ptr<search::Index> index_;
  std::atomic<std::uint64_t> begun_ = 0, ended_ = 0;
  Mutex write_mutex_;
  mutable Mutex mutex_;
  mutable search::IndexStats last_stats_ KNAP_GUARDED_BY(mutex_);
};

/// All of one vault.
struct VaultState {
  VaultState(VaultConfig vault_config, store::VaultId vault_id, std::uint32_t dimensions,
             const search::RankingSettings& ranking)
      : config(std::move(vault_config)), id(vault_id), index(dimensions, ranking) {}

  std::shared_ptr<const Boilerplate> known_boilerplate() KNAP_EXCLUDES(mutex) {
    MutexLock lock(mutex);
    return boilerplate;
  }

  const VaultConfig config;
  const store::VaultId id;
  Ledger ledger;
  LinkGraph graph;
  LiveIndex index;
  NotePrints prints;
  Mutex mutex;
  /// What Service::content() said of this vault last.
  struct KnownContent {
    std::uint64_t moment = 0, epoch = 0;
    std::string key;  ///< Empty: nothing is known.
    bool lasting = false;
  };
  KnownContent known KNAP_GUARDED_BY(mutex);
  std::shared_ptr<const Boilerplate> boilerplate KNAP_GUARDED_BY(mutex) =
      std::make_shared<Boilerplate>();
  vault::IgnoreRules rules KNAP_GUARDED_BY(mutex);
  std::string watch_mode KNAP_GUARDED_BY(mutex) = "off";
  std::unique_ptr<vault::Watcher> watcher KNAP_GUARDED_BY(mutex);
  std::uint64_t walks = 0;           ///< Of the indexing thread only.
  std::uint64_t unexplained = 0;     ///< Of the indexer's thread: see Indexer::check_ledger.
  std::atomic<bool> walked = false;  ///< Once since the start, to the end.
  /// The store's count of changes that the snapshot on disk shows; nothing: none is known to fit.
  std::optional<std::uint64_t> saved_changes;
};

using Vaults = std::vector<std::unique_ptr<VaultState>>;

/// A folder of imports that holds nothing does not show.
inline bool is_hidden(const VaultState& vault) {
  return vault.config.kind == VaultConfig::Kind::kImports && vault.ledger.counts().total() == 0;
}

/// What the index is told of a note.
search::NoteInput note_input(store::FileId id, const std::string& path,
                             const store::NoteRecord& note, const NoteMeta& meta,
                             std::int64_t mtime_ns, LinkGraph::Published links);
void add_passage(search::NoteInput& note, const Hash128& hash, std::string_view headings,
                 std::uint32_t first_line, std::uint32_t last_line, std::string plain,
                 std::string faint);

}  // namespace knap::index
