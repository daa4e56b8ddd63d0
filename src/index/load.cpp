#include "load.hpp"

#include <thread>
#include <unordered_map>
#include <unordered_set>

#include <pthread.h>

#include "knap/base/file.hpp"
#include "knap/observe/log.hpp"

namespace knap::index {
namespace {

constexpr std::size_t kLoadNotesMax = 1'024;  // a batch of loading
constexpr std::size_t kLoadBytesMax = 8U << 20;
constexpr std::size_t kLoadBatchesWaiting = 2;  // read ahead of the index
constexpr std::size_t kRelinkNotesMax = 256;
constexpr std::uint64_t kSnapshotBytesMax = 4ULL << 30;

/// Batches handed from the thread that reads the store to the one that builds the index.
class LoadQueue {
 public:
  void push(search::Index::Batch batch) KNAP_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (batches_.size() >= kLoadBatchesWaiting) changed_.wait(mutex_);
    batches_.push_back(std::move(batch));
    changed_.notify_all();
  }
  void close() KNAP_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }
  bool pop(search::Index::Batch& batch) KNAP_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (batches_.empty() && !closed_) changed_.wait(mutex_);
    if (batches_.empty()) return false;
    batch = std::move(batches_.front());
    batches_.erase(batches_.begin());
    changed_.notify_all();
    return true;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<search::Index::Batch> batches_ KNAP_GUARDED_BY(mutex_);
  bool closed_ KNAP_GUARDED_BY(mutex_) = false;
};

search::NoteInput input_of(VaultState& vault, store::LoadedNote note, const NoteMeta& meta,
                           LinkGraph::Published links, const std::string& path) {
  const auto entry = vault.ledger.find(path);
  if (entry) {
    const Hash128 print =
        print_of(path, entry->hash, entry->fingerprint.mtime_ns, entry->parser_version);
    vault.prints.set(note.id, print, links.fingerprint);
  }
  search::NoteInput input = note_input(note.id, path, note.note, meta,
                                       entry ? entry->fingerprint.mtime_ns : 0, std::move(links));
  input.passages.reserve(note.passages.size());
  for (store::LoadedPassage& passage : note.passages) {
    add_passage(input, passage.hash, passage.headings, passage.first_line, passage.last_line,
                std::move(passage.plain), std::move(passage.faint));
  }
  return input;
}

std::size_t size_of(const store::LoadedNote& note) {
  std::size_t bytes = note.note.meta.size();
  for (const store::LoadedPassage& passage : note.passages)
    bytes += passage.plain.size() + passage.faint.size() + passage.headings.size();
  return bytes;
}

Status stream_notes(const store::Store& store, VaultState& vault, LoadQueue& queue) {
  search::Index::Batch batch;
  std::size_t bytes = 0;
  Status read = store.notes(vault.id, [&](store::LoadedNote note) {
    const auto meta = decode(note.note.meta);
    const auto ref = vault.graph.note(note.id);
    if (!meta || !ref) return true;
    bytes += size_of(note);
    auto links = vault.graph.publish_links(note.id);
    batch.upserts.push_back(input_of(vault, std::move(note), *meta, std::move(links), ref->path));
    if (batch.upserts.size() >= kLoadNotesMax || bytes >= kLoadBytesMax) {
      queue.push(std::move(batch));
      batch = {};
      bytes = 0;
    }
    return true;
  });
  if (!batch.upserts.empty()) queue.push(std::move(batch));
  return read;
}

/// What a start knows of a note before it looks at its passages.
struct NoteChange {
  store::FileId id{};
  std::uint64_t change = 0;
  Hash128 print;  ///< Of its file.
};

/// Ledger and links, from the rows of files and notes.
Result<std::vector<NoteChange>> load_files(const store::Store& store, VaultState& vault) {
  // Files first: links resolve among all of them, whatever the order of the notes.
  // A document that was skipped or has failed is still known by its name.
  const auto has_text = [](const store::FileRecord& file) {
    return file.state == store::FileState::kIndexed || file.state == store::FileState::kStale;
  };
  std::unordered_map<store::FileId, store::FileRecord> waiting;
  KNAP_CHECK_OK(store.files(vault.id, [&](store::FileRecord file) {
    if (has_text(file)) vault.graph.add_file(file.id, file.path);
    waiting.emplace(file.id, std::move(file));
  }));
  std::vector<NoteChange> notes;
  KNAP_CHECK_OK(store.note_records(
      vault.id, [&](store::FileId id, store::NoteRecord note, std::uint64_t change) {
        const auto row = waiting.find(id);
        const auto meta = decode(note.meta);
        if (!meta || row == waiting.end()) return;
        vault.graph.set_note(id, row->second.path, note.title, meta->aliases, meta->links);
        vault.ledger.load(row->second, true);
        const store::FileRecord& file = row->second;
        notes.push_back(
            {id, change, print_of(file.path, file.hash, file.mtime_ns, file.parser_version)});
        waiting.erase(row);
      }));
  // A row whose note is missing or damaged counts as never read.
  for (auto& [id, file] : waiting) {
    if (!has_text(file)) {
      vault.ledger.load(file, false);
      continue;
    }
    file.state = store::FileState::kStale;
    file.parser_version = 0;
    vault.ledger.load(file, false);
  }
  return notes;
}

/// The count of changes that the restored index shows; nothing when there was no fitting snapshot,
/// which only makes the start slower.
Result<std::optional<std::uint64_t>> restore(const store::Store& store, VaultState& vault,
                                             const std::filesystem::path& file) {
  constexpr std::optional<std::uint64_t> kNothing;
  const auto bytes = read_file(file, kSnapshotBytesMax);
  if (!bytes) return kNothing;
  const auto stamp = search::Index::stamp_of(*bytes);
  if (!stamp) return kNothing;
  KNAP_TRY(const auto mark, store.find_mark(vault.id, *stamp));
  if (!mark) return kNothing;
  if (const Status restored = vault.index.restore(*bytes); !restored) {
    observe::log_info("snapshot_not_used", restored.error().message,
                      {{"vault", vault.config.name}});
    return kNothing;
  }
  return std::optional(mark->changes);
}

/// Tells a restored index what the store has changed since, and the links what the index was told.
Status catch_up(const store::Store& store, VaultState& vault, std::uint64_t shown,
                const std::vector<NoteChange>& notes) {
  std::unordered_map<store::FileId, std::uint64_t> in_index;
  for (const auto& [id, cookie] : vault.index.get()->cookies()) {
    in_index.emplace(static_cast<store::FileId>(id), cookie);
  }
  search::Index::Batch batch;
  for (const auto& [id, change, print] : notes) {
    const auto told = in_index.find(id);
    if (told != in_index.end() && change <= shown) {
      vault.graph.set_published(id, told->second);
      vault.prints.set(id, print, told->second);
      in_index.erase(told);
      continue;
    }
    if (told != in_index.end()) in_index.erase(told);
    KNAP_TRY(auto note, store.note(id));
    const auto ref = vault.graph.note(id);
    if (!note || !ref) continue;
    const auto meta = decode(note->note.meta);
    if (!meta) continue;
    batch.upserts.push_back(
        input_of(vault, std::move(*note), *meta, vault.graph.publish_links(id), ref->path));
    if (batch.upserts.size() == kLoadNotesMax) vault.index.apply(std::exchange(batch, {}));
  }
  for (const auto& [id, cookie] : in_index)
    batch.deletes.push_back(static_cast<search::NoteId>(id));
  if (!batch.upserts.empty() || !batch.deletes.empty()) vault.index.apply(std::move(batch));
  return {};
}

/// Reads on a thread of its own while this one builds the index.
Status load_index(const store::Store& store, VaultState& vault) {
  LoadQueue queue;
  Status read;
  std::thread reader([&] {
    read = stream_notes(store, vault, queue);
    queue.close();
  });
  ::pthread_setname_np(reader.native_handle(), "knap-load");
  search::Index::Batch batch;
  while (queue.pop(batch)) vault.index.apply(std::move(batch));
  reader.join();
  return read;
}

}  // namespace

Status load_vault(const store::Store& store, VaultState& vault,
                  const std::filesystem::path& snapshot) {
  // The snapshot on a thread of its own: each is about half of a start's work.
  Result<std::optional<std::uint64_t>> restored{std::optional<std::uint64_t>()};
  std::thread restoring([&] { restored = restore(store, vault, snapshot); });
  ::pthread_setname_np(restoring.native_handle(), "knap-restore");
  const auto notes = load_files(store, vault);
  restoring.join();
  if (!notes) return notes.error();
  if (!restored) return restored.error();
  if (!*restored) return load_index(store, vault);
  vault.saved_changes = **restored;
  return catch_up(store, vault, **restored, *notes);
}

Status relink(const store::Store& store, VaultState& vault) {
  const std::vector<store::FileId> changed = vault.graph.take_changed();
  search::Index::Batch batch;
  for (std::size_t i = 0; i < changed.size(); ++i) {
    KNAP_TRY(auto note, store.note(changed[i]));
    const auto ref = vault.graph.note(changed[i]);
    if (!note || !ref) continue;
    const auto meta = decode(note->note.meta);
    if (!meta) continue;
    auto links = vault.graph.publish_links(changed[i]);
    batch.upserts.push_back(input_of(vault, std::move(*note), *meta, std::move(links), ref->path));
    if (batch.upserts.size() == kRelinkNotesMax) {
      vault.index.apply(std::move(batch));
      batch = {};
    }
  }
  if (!batch.upserts.empty()) vault.index.apply(std::move(batch));
  return {};
}

}  // namespace knap::index
