#include "vault_state.hpp"

#include <algorithm>
#include <thread>
#include <unordered_map>

#include <pthread.h>

#include "knap/base/file.hpp"
#include "knap/observe/log.hpp"

namespace knap::index {
namespace {

constexpr std::size_t kLoadNotesMax = 1'024;          // a batch of loading
constexpr std::size_t kLoadBytesMax = 8U << 20;
constexpr std::size_t kLoadBatchesWaiting = 2;        // read ahead of the index
constexpr std::size_t kRelinkNotesMax = 256;
constexpr std::uint64_t kSnapshotBytesMax = 4ULL << 30;
constexpr std::int64_t kNanosPerSecond = 1'000'000'000;

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

search::NoteInput input_of(const VaultState& vault, store::LoadedNote note, const NoteMeta& meta,
                           std::vector<std::string> links_to, const std::string& path) {
  const auto entry = vault.ledger.find(path);
  search::NoteInput input = note_input(note.id, path, note.note, meta, entry ? entry->fingerprint.mtime_ns : 0,
                                       std::move(links_to));
  input.passages.reserve(note.passages.size());
  for (store::LoadedPassage& passage : note.passages) {
    add_passage(input, passage.hash, passage.headings, passage.first_line, passage.last_line,
                std::move(passage.plain));
  }
  return input;
}

std::size_t size_of(const store::LoadedNote& note) {
  std::size_t bytes = note.note.meta.size();
  for (const store::LoadedPassage& passage : note.passages) bytes += passage.plain.size() + passage.headings.size();
  return bytes;
}

enum class Links { kRead, kKeep };

Status stream_notes(const store::Store& store, VaultState& vault, Links links, LoadQueue& queue,
                    std::unordered_map<store::FileId, store::FileRecord>& waiting) {
  search::Index::Batch batch;
  std::size_t bytes = 0;
  const Status read = store.notes(vault.id, [&](store::LoadedNote note) {
    const auto meta = decode(note.note.meta);
    if (!meta) return true;
    const auto ref = vault.graph.note(note.id);
    if (!ref) return true;
    if (links == Links::kRead) {
      vault.graph.set_note(note.id, ref->path, note.note.title, meta->aliases, meta->links);
      if (const auto row = waiting.find(note.id); row != waiting.end()) {
        vault.ledger.load(row->second, true);
        waiting.erase(row);
      }
    }
    bytes += size_of(note);
    auto links_to = vault.graph.publish_links(note.id);
    batch.upserts.push_back(input_of(vault, std::move(note), *meta, std::move(links_to), ref->path));
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

/// Reads on a thread of its own while this one builds the index.
Status load_notes(const store::Store& store, VaultState& vault, Links links,
                  std::unordered_map<store::FileId, store::FileRecord>& waiting) {
  LoadQueue queue;
  Status read;
  std::thread reader([&] {
    read = stream_notes(store, vault, links, queue, waiting);
    queue.close();
  });
  ::pthread_setname_np(reader.native_handle(), "knap-load");
  search::Index::Batch batch;
  while (queue.pop(batch)) vault.index.apply(std::move(batch));
  reader.join();
  return read;
}

/// True when the index is filled. A snapshot that is absent, older or damaged only makes the start slower.
Result<bool> restore_snapshot(const store::Store& store, VaultState& vault, const std::filesystem::path& snapshot) {
  KNAP_TRY(const std::uint64_t generation, store.generation(vault.id));
  if (generation == 0) return false;
  const auto bytes = read_file(snapshot, kSnapshotBytesMax);
  if (!bytes) return false;
  const Status restored = vault.index.restore(*bytes, generation);
  if (!restored) {
    observe::log_info("snapshot_not_used", restored.error().message, {{"vault", vault.config.name}});
    return false;
  }
  vault.saved_generation = generation;
  return true;
}

/// Ledger and links of the notes that a snapshot has put into the index.
Status load_links(const store::Store& store, VaultState& vault,
                  std::unordered_map<store::FileId, store::FileRecord>& waiting) {
  std::vector<store::FileId> ids;
  KNAP_CHECK_OK(store.note_records(vault.id, [&](store::FileId id, store::NoteRecord note) {
    const auto meta = decode(note.meta);
    const auto ref = vault.graph.note(id);
    if (!meta || !ref) return;
    vault.graph.set_note(id, ref->path, note.title, meta->aliases, meta->links);
    if (const auto row = waiting.find(id); row != waiting.end()) {
      vault.ledger.load(row->second, true);
      waiting.erase(row);
    }
    ids.push_back(id);
  }));
  // The index holds these links already: what is published here only tells the graph so.
  for (const store::FileId id : ids) static_cast<void>(vault.graph.publish_links(id));
  static_cast<void>(vault.graph.take_changed());
  return {};
}

}  // namespace

LiveIndex::LiveIndex(std::uint32_t dimensions)
    : index_(search::Index::create({.dimensions = dimensions})), dimensions_(dimensions) {}

std::shared_ptr<search::Index> LiveIndex::current() const {
  MutexLock lock(mutex_);
  return index_;
}

std::shared_ptr<const search::Index> LiveIndex::get() const { return current(); }

search::IndexStats LiveIndex::stats() const {
  search::IndexStats stats = current()->stats();
  stats.epoch = epoch_of(stats.epoch);
  MutexLock lock(mutex_);
  if (stats.epoch >= last_stats_.epoch) last_stats_ = stats;
  return stats;
}

search::IndexStats LiveIndex::stats_at(std::uint64_t epoch) const {
  {
    MutexLock lock(mutex_);
    if (epoch != 0 && last_stats_.epoch == epoch) return last_stats_;
  }
  return stats();
}

std::uint64_t LiveIndex::epoch_of(std::uint64_t index_epoch) const {
  MutexLock lock(mutex_);
  return epoch_base_ + index_epoch;
}

std::uint32_t LiveIndex::dimensions() const {
  MutexLock lock(mutex_);
  return dimensions_;
}

void LiveIndex::apply(search::Index::Batch batch) {
  MutexLock lock(write_mutex_);
  current()->apply(std::move(batch));
}

std::string LiveIndex::snapshot(std::uint64_t stamp) const { return current()->snapshot(stamp); }

Status LiveIndex::restore(std::string_view bytes, std::uint64_t stamp) {
  MutexLock lock(write_mutex_);
  return current()->restore(bytes, stamp);
}

Status LiveIndex::set_vectors(std::span<const search::Index::VectorInput> vectors) {
  MutexLock lock(write_mutex_);
  return current()->set_vectors(vectors);
}

void LiveIndex::clear_vectors() {
  MutexLock lock(write_mutex_);
  current()->clear_vectors();
}

void LiveIndex::restart(std::uint32_t dimensions) {
  MutexLock write(write_mutex_);
  const std::uint64_t epoch = current()->stats().epoch;
  MutexLock lock(mutex_);
  epoch_base_ += epoch + 1;
  dimensions_ = dimensions;
  index_ = search::Index::create({.dimensions = dimensions});
}

search::NoteInput note_input(store::FileId id, const std::string& path, const store::NoteRecord& note,
                             const NoteMeta& meta, std::int64_t mtime_ns, std::vector<std::string> links_to) {
  search::NoteInput input;
  input.id = static_cast<search::NoteId>(id);
  input.path = path;
  input.name = note.name;
  input.title = note.title;
  input.aliases = meta.aliases;
  input.tags = split_lines(note.tags);
  input.language = note.language;
  search::NoteFacts& facts = input.facts;
  facts.path = path;
  facts.name = note.name;
  facts.title = note.title;
  facts.type = std::string(vault::to_string(meta.type));
  facts.language = note.language;
  facts.tags = input.tags;
  for (const vault::Heading& heading : meta.headings) facts.headings.push_back(heading.text);
  facts.links_to = std::move(links_to);
  facts.modified_s = mtime_ns / kNanosPerSecond;
  facts.created_s = meta.created_s;
  facts.has_open_task = meta.has_open_task;
  facts.has_done_task = meta.has_done_task;
  for (const vault::Property& property : meta.properties) {
    auto& fact = facts.properties.emplace_back();
    fact.name = property.name;
    for (const auto& value : property.values) {
      std::visit(
          [&](const auto& scalar) {
            if constexpr (std::is_same_v<std::decay_t<decltype(scalar)>, vault::DateTime>) {
              fact.values.emplace_back(iso_text(scalar));
            } else {
              fact.values.emplace_back(scalar);
            }
          },
          value);
    }
  }
  return input;
}

void add_passage(search::NoteInput& note, const Hash128& hash, std::string_view headings, std::uint32_t first_line,
                 std::uint32_t last_line, std::string plain) {
  search::PassageInput& passage = note.passages.emplace_back();
  passage.hash = hash;
  passage.headings = split_lines(headings);
  passage.first_line = first_line;
  passage.last_line = last_line;
  passage.plain = std::move(plain);
}

Status load_vault(const store::Store& store, VaultState& vault, const std::filesystem::path& snapshot) {
  // Files first: links resolve among all of them, whatever the order of the notes.
  std::unordered_map<store::FileId, store::FileRecord> waiting;
  KNAP_CHECK_OK(store.files(vault.id, [&](store::FileRecord file) {
    const bool content = file.state == store::FileState::kIndexed || file.state == store::FileState::kStale;
    // Without content until its note turns up: a row whose note is missing or damaged counts as never read.
    store::FileRecord bare = file;
    if (content) {
      bare.state = store::FileState::kStale;
      bare.parser_version = 0;
      vault.graph.add_file(file.id, file.path);
    }
    vault.ledger.load(bare, false);
    if (content) waiting.emplace(file.id, std::move(file));
  }));
  KNAP_TRY(const bool restored, restore_snapshot(store, vault, snapshot));
  KNAP_CHECK_OK(restored ? load_links(store, vault, waiting) : load_notes(store, vault, Links::kRead, waiting));
  return relink(store, vault);
}

Status save_snapshot(const store::Store& store, VaultState& vault, const std::filesystem::path& snapshot) {
  KNAP_TRY(const std::uint64_t generation, store.generation(vault.id));
  if (generation == 0 || generation == vault.saved_generation) return {};
  KNAP_CHECK_OK(relink(store, vault));
  KNAP_CHECK_OK(write_file_atomic(snapshot, vault.index.snapshot(generation)));
  vault.saved_generation = generation;
  return {};
}

Status load_index(const store::Store& store, VaultState& vault) {
  std::unordered_map<store::FileId, store::FileRecord> none;
  return load_notes(store, vault, Links::kKeep, none);
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
    auto links_to = vault.graph.publish_links(changed[i]);
    batch.upserts.push_back(input_of(vault, std::move(*note), *meta, std::move(links_to), ref->path));
    if (batch.upserts.size() == kRelinkNotesMax) {
      vault.index.apply(std::move(batch));
      batch = {};
    }
  }
  if (!batch.upserts.empty()) vault.index.apply(std::move(batch));
  return {};
}

}  // namespace knap::index
