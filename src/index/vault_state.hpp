#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

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

/// The search index of one vault. Threads: safe. Writers take turns; readers never wait for them.
class LiveIndex {
 public:
  explicit LiveIndex(std::uint32_t dimensions);

  const search::Index* get() const { return index_.get(); }
  /// Counted once an epoch: a count goes over all passages.
  search::IndexStats stats() const KNAP_EXCLUDES(mutex_);
  search::IndexStats stats_at(std::uint64_t epoch) const KNAP_EXCLUDES(mutex_);

  void apply(search::Index::Batch batch) KNAP_EXCLUDES(write_mutex_);
  Status restore(std::string_view snapshot) KNAP_EXCLUDES(write_mutex_);
  Status set_vectors(std::span<const search::Index::VectorInput> vectors)
      KNAP_EXCLUDES(write_mutex_);
  Status replace_vectors(std::uint32_t dimensions, std::uint64_t space,
                         const std::function<Status(const search::Index::PutVector&)>& fill)
      KNAP_EXCLUDES(write_mutex_);

 private:
  const std::unique_ptr<search::Index> index_;
  Mutex write_mutex_;
  mutable Mutex mutex_;
  mutable search::IndexStats last_stats_ KNAP_GUARDED_BY(mutex_);
};

/// All of one vault.
struct VaultState {
  VaultState(VaultConfig vault_config, store::VaultId vault_id, std::uint32_t dimensions)
      : config(std::move(vault_config)), id(vault_id), index(dimensions) {}

  const VaultConfig config;
  const store::VaultId id;
  Ledger ledger;
  LinkGraph graph;
  LiveIndex index;
  Mutex mutex;
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

/// What the index is told of a note.
search::NoteInput note_input(store::FileId id, const std::string& path,
                             const store::NoteRecord& note, const NoteMeta& meta,
                             std::int64_t mtime_ns, LinkGraph::Published links);
void add_passage(search::NoteInput& note, const Hash128& hash, std::string_view headings,
                 std::uint32_t first_line, std::uint32_t last_line, std::string plain);

}  // namespace knap::index
