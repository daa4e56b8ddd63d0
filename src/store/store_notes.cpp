#include <chrono>

#include "knap/base/assert.hpp"
#include "store_impl.hpp"

namespace knap::store {
namespace {

/// Of a vault, at a start. Half: another vault's find room too.
constexpr std::size_t kHeadsReadAhead = NoteHeads::kHeadsMax / 2;

FileRecord file_record(const Statement& row) {
  FileRecord file;
  file.id = static_cast<FileId>(row.integer(0));
  file.path = std::string(row.text(1));
  file.size_bytes = static_cast<std::uint64_t>(row.integer(2));
  file.mtime_ns = row.integer(3);
  file.inode = static_cast<std::uint64_t>(row.integer(4));
  if (!row.is_null(5)) file.hash = row.hash(5);
  const std::int64_t state = row.integer(6);
  file.state = state >= 0 && state <= 3 ? static_cast<FileState>(state) : FileState::kStale;
  file.reason = std::string(row.text(7));
  file.attempts = static_cast<std::uint32_t>(row.integer(8));
  file.retry_at_ms = row.integer(9);
  file.indexed_at_ms = row.integer(10);
  file.parser_version = static_cast<std::uint32_t>(row.integer(11));
  return file;
}

NoteRecord note_record(const Statement& row, int column) {
  return {std::string(row.text(column)), std::string(row.text(column + 1)),
          std::string(row.text(column + 2)), std::string(row.text(column + 3)),
          std::string(row.text(column + 4))};
}

/// Steps `rows` (ordered by id) through the passages of one file; a row of a later file stays
/// current.
Status read_passages(Statement& rows, bool& current, FileId file, std::vector<LoadedPassage>& out) {
  while (current) {
    const PassageKey key = key_of(rows.integer(0));
    if (key.file > file) break;
    if (key.file == file) {
      LoadedPassage passage;
      passage.hash = rows.hash(1);
      passage.first_line = static_cast<std::uint32_t>(rows.integer(2));
      passage.last_line = static_cast<std::uint32_t>(rows.integer(3));
      passage.headings = std::string(rows.text(4));
      passage.plain = std::string(rows.text(5));
      if (!rows.is_null(6)) passage.faint = std::string(rows.text(6));
      out.push_back(std::move(passage));
    }
    KNAP_TRY(current, rows.step());
  }
  return {};
}

}  // namespace

Status StoreImpl::files(VaultId vault, const std::function<void(FileRecord)>& visit) const {
  const auto reader = readers_.take();
  KNAP_TRY(auto rows,
           reader->prepare(
               "SELECT id, path, size_bytes, mtime_ns, inode, hash, state, reason, attempts, "
               "retry_at_ms, indexed_at_ms, parser_version FROM files WHERE vault = ?"));
  rows.bind(static_cast<std::int64_t>(vault));
  for (;;) {
    KNAP_TRY(const bool more, rows.step());
    if (!more) return {};
    visit(file_record(rows));
  }
}

Status StoreImpl::notes(VaultId vault, const std::function<bool(LoadedNote)>& visit) const {
  const auto reader = readers_.take();
  KNAP_TRY(auto snapshot, Transaction::begin_read(*reader));
  KNAP_TRY(
      auto notes,
      reader->prepare("SELECT n.file, n.title, n.name, n.language, n.tags, n.meta FROM notes n "
                      "JOIN files f ON f.id = n.file AND f.vault = ? ORDER BY n.file"));
  KNAP_TRY(auto range, reader->prepare("SELECT min(id), max(id) FROM files WHERE vault = ?"));
  range.bind(static_cast<std::int64_t>(vault));
  KNAP_TRY(const bool any, range.step());
  if (!any || range.is_null(0)) return {};
  KNAP_TRY(auto passages,
           reader->prepare(
               "SELECT id, hash, first_line, last_line, headings, coalesce(plain, text), faint "
               "FROM passages WHERE id >= ? AND id < ? ORDER BY id"));
  passages.bind(first_row(static_cast<FileId>(range.integer(0))),
                first_row(static_cast<FileId>(range.integer(1) + 1)));
  notes.bind(static_cast<std::int64_t>(vault));
  KNAP_TRY(bool current, passages.step());
  for (;;) {
    KNAP_TRY(const bool more, notes.step());
    if (!more) return {};
    LoadedNote note{static_cast<FileId>(notes.integer(0)), note_record(notes, 1), {}};
    KNAP_CHECK_OK(read_passages(passages, current, note.id, note.passages));
    if (!visit(std::move(note))) return {};
  }
}

Status StoreImpl::note_records(VaultId vault, const NoteVisitor& visit) const {
  const auto state = heads_.state();  // before the snapshot
  const auto reader = readers_.take();
  KNAP_TRY(auto notes,
           reader->prepare(
               "SELECT n.file, n.title, n.name, n.language, n.tags, n.meta, n.changed, f.path, "
               "f.mtime_ns FROM notes n JOIN files f ON f.id = n.file AND f.vault = ?"));
  notes.bind(static_cast<std::int64_t>(vault));
  for (std::size_t count = 0;; ++count) {
    KNAP_TRY(const bool more, notes.step());
    if (!more) return {};
    const auto file = static_cast<FileId>(notes.integer(0));
    NoteRecord note = note_record(notes, 1);
    // They are all read here, at a start: the first searches find them.
    if (count < kHeadsReadAhead) {
      heads_.put(state, file,
                 std::make_shared<const NoteHead>(NoteHead{vault, std::string(notes.text(7)),
                                                           note.title, note.name, note.language,
                                                           note.tags, notes.integer(8)}));
    }
    visit(file, std::move(note), static_cast<std::uint64_t>(notes.integer(6)));
  }
}

Result<std::optional<LoadedNote>> StoreImpl::note(FileId file) const {
  const auto reader = readers_.take();
  KNAP_TRY(auto snapshot, Transaction::begin_read(*reader));
  KNAP_TRY(auto note,
           reader->prepare("SELECT title, name, language, tags, meta FROM notes WHERE file = ?"));
  note.bind(static_cast<std::int64_t>(file));
  KNAP_TRY(const bool found, note.step());
  if (!found) return std::optional<LoadedNote>();
  LoadedNote loaded{file, note_record(note, 0), {}};
  KNAP_TRY(auto passages,
           reader->prepare(
               "SELECT id, hash, first_line, last_line, headings, coalesce(plain, text), faint "
               "FROM passages WHERE id >= ? AND id < ? ORDER BY id"));
  passages.bind(first_row(file), first_row(file) + kPassagesPerFileMax);
  KNAP_TRY(bool current, passages.step());
  KNAP_CHECK_OK(read_passages(passages, current, file, loaded.passages));
  return std::optional<LoadedNote>(std::move(loaded));
}

namespace {

/// Null: the file has no note.
Result<NoteHeads::Head> read_head(Database& reader, FileId file) {
  KNAP_TRY(auto row, reader.prepare("SELECT f.vault, f.path, f.mtime_ns, n.title, n.name, "
                                    "n.language, n.tags FROM files f JOIN notes n ON n.file = f.id "
                                    "WHERE f.id = ?"));
  row.bind(static_cast<std::int64_t>(file));
  KNAP_TRY(const bool found, row.step());
  if (!found) return NoteHeads::Head();
  auto head = std::make_shared<NoteHead>();
  head->vault = static_cast<VaultId>(row.integer(0));
  head->path = std::string(row.text(1));
  head->mtime_ns = row.integer(2);
  head->title = std::string(row.text(3));
  head->name = std::string(row.text(4));
  head->language = std::string(row.text(5));
  head->tags = std::string(row.text(6));
  return NoteHeads::Head(std::move(head));
}

void add_head(const NoteHead& head, PassageRow& row) {
  row.vault = head.vault;
  row.path = head.path;
  row.mtime_ns = head.mtime_ns;
  row.title = head.title;
  row.name = head.name;
  row.language = head.language;
  row.tags = head.tags;
}

}  // namespace

Result<std::vector<std::optional<PassageRow>>> StoreImpl::passages(
    std::span<const PassageKey> keys) const {
  const auto state = heads_.state();  // before the snapshot
  const auto reader = readers_.take();
  // One snapshot: each statement by itself would lock and unlock the file.
  KNAP_TRY(auto snapshot, Transaction::begin_read(*reader));
  KNAP_TRY(auto row, reader->prepare(
                         "SELECT hash, kind, first_line, last_line, block, headings, text, plain, "
                         "place FROM passages WHERE id = ?"));
  static_assert(kOrdinalBits == 20);
  std::vector<std::optional<PassageRow>> out(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    row.bind(row_of(keys[i]));
    KNAP_TRY(const bool found, row.step());
    if (found) {
      PassageRow& view = out[i].emplace();
      view.passage.hash = row.hash(0);
      view.passage.kind = static_cast<std::uint8_t>(row.integer(1));
      view.passage.first_line = static_cast<std::uint32_t>(row.integer(2));
      view.passage.last_line = static_cast<std::uint32_t>(row.integer(3));
      view.passage.block = std::string(row.text(4));
      view.passage.headings = std::string(row.text(5));
      view.passage.text = std::string(row.text(6));
      view.passage.plain = row.is_null(7) ? view.passage.text : std::string(row.text(7));
      view.passage.place = static_cast<std::uint32_t>(row.integer(8));
    }
    row.reset();
  }
  // After the first read: now the snapshot is the reader's own.
  auto known = heads_.find(state, keys);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (!out[i]) continue;
    NoteHeads::Head& head = known[i];
    if (head == nullptr) {
      KNAP_TRY(head, read_head(*reader, keys[i].file));
      if (head != nullptr) heads_.put(state, keys[i].file, head);
    }
    if (head != nullptr) {
      add_head(*head, *out[i]);
    } else {
      out[i].reset();
    }
  }
  KNAP_CHECK_OK(snapshot.commit());
  return out;
}

Result<std::vector<Hash128>> StoreImpl::passage_hashes(FileId file) const {
  const auto reader = readers_.take();
  KNAP_TRY(auto rows, reader->prepare("SELECT hash FROM passages WHERE id >= ? AND id < ?"));
  rows.bind(first_row(file), first_row(file) + kPassagesPerFileMax);
  std::vector<Hash128> hashes;
  for (;;) {
    KNAP_TRY(const bool more, rows.step());
    if (!more) return hashes;
    hashes.push_back(rows.hash(0));
  }
}

Result<std::optional<std::uint32_t>> StoreImpl::passage_at(FileId file, std::uint32_t line) const {
  const auto reader = readers_.take();
  KNAP_TRY(auto row, reader->prepare(
                         "SELECT id FROM passages WHERE id >= ? AND id < ? AND first_line <= ? AND "
                         "last_line >= ? ORDER BY id LIMIT 1"));
  row.bind(first_row(file), first_row(file) + kPassagesPerFileMax, std::int64_t{line},
           std::int64_t{line});
  KNAP_TRY(const bool found, row.step());
  if (!found) return std::optional<std::uint32_t>();
  return std::optional<std::uint32_t>(key_of(row.integer(0)).ordinal);
}

Status StoreImpl::apply(VaultId vault, const WriteBatch& batch) {
  const auto begin = SteadyClock::now();
  MutexLock lock(writer_mutex_);
  std::vector<FileId> changed = batch.deletes;
  for (const FileChange& change : batch.changes) changed.push_back(change.file.id);
  const NoteHeads::Write write(heads_, std::move(changed));
  KNAP_TRY(auto transaction, Transaction::begin(*writer_));
  for (const FileId file : batch.deletes) {
    KNAP_CHECK_OK(drop_content(file));
    KNAP_TRY(auto remove, writer_->prepare("DELETE FROM files WHERE id = ?"));
    remove.bind(static_cast<std::int64_t>(file));
    KNAP_CHECK_OK(remove.run());
  }
  KNAP_TRY(const std::uint64_t number, next_change(vault));
  for (const FileChange& change : batch.changes) KNAP_CHECK_OK(write_change(vault, change, number));
  KNAP_CHECK_OK(transaction.commit());
  if (transaction_seconds_ != nullptr) transaction_seconds_->record(SteadyClock::now() - begin);
  return {};
}

Status StoreImpl::write_change(VaultId vault, const FileChange& change, std::uint64_t number) {
  KNAP_CHECK_OK(write_file(vault, change.file));
  switch (change.content) {
    case FileChange::Content::kKeep: return {};
    case FileChange::Content::kDrop: return drop_content(change.file.id);
    case FileChange::Content::kReplace: break;
  }
  KNAP_CHECK_OK(drop_content(change.file.id));
  return write_content(change, number);
}

Status StoreImpl::write_file(VaultId vault, const FileRecord& file) {
  KNAP_TRY(auto insert,
           writer_->prepare("INSERT OR REPLACE INTO files (id, vault, path, size_bytes, mtime_ns, "
                            "inode, hash, state, "
                            "reason, attempts, retry_at_ms, indexed_at_ms, parser_version) "
                            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  insert.bind(static_cast<std::int64_t>(file.id), static_cast<std::int64_t>(vault));
  insert.bind_blob(3, file.path);
  insert.bind_one(4, static_cast<std::int64_t>(file.size_bytes));
  insert.bind_one(5, file.mtime_ns);
  insert.bind_one(6, static_cast<std::int64_t>(file.inode));
  if (file.hash) {
    insert.bind_one(7, *file.hash);
  } else {
    insert.bind_null(7);
  }
  insert.bind_one(8, static_cast<std::int64_t>(file.state));
  insert.bind_one(9, std::string_view(file.reason));
  insert.bind_one(10, std::int64_t{file.attempts});
  insert.bind_one(11, file.retry_at_ms);
  insert.bind_one(12, file.indexed_at_ms);
  insert.bind_one(13, std::int64_t{file.parser_version});
  return insert.run();
}

Status StoreImpl::write_content(const FileChange& change, std::uint64_t number) {
  KNAP_ASSERT(change.passages.size() <= kPassagesPerFileMax);
  const NoteRecord& note = change.note;
  KNAP_TRY(auto insert_note,
           writer_->prepare("INSERT INTO notes (file, title, name, language, tags, meta, "
                            "changed) VALUES (?, ?, ?, ?, ?, ?, ?)"));
  insert_note.bind(static_cast<std::int64_t>(change.file.id), std::string_view(note.title),
                   std::string_view(note.name), std::string_view(note.language),
                   std::string_view(note.tags));
  insert_note.bind_blob(6, note.meta);
  insert_note.bind_one(7, static_cast<std::int64_t>(number));
  KNAP_CHECK_OK(insert_note.run());
  KNAP_TRY(auto insert,
           writer_->prepare(
               "INSERT INTO passages (id, hash, kind, first_line, last_line, block, headings, "
               "text, plain, place, faint) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  std::int64_t row = first_row(change.file.id);
  for (const PassageRecord& passage : change.passages) {
    insert.bind(row++, passage.hash, std::int64_t{passage.kind}, std::int64_t{passage.first_line},
                std::int64_t{passage.last_line}, std::string_view(passage.block),
                std::string_view(passage.headings), std::string_view(passage.text));
    if (passage.plain == passage.text) {
      insert.bind_null(9);
    } else {
      insert.bind_one(9, std::string_view(passage.plain));
    }
    insert.bind_one(10, std::int64_t{passage.place});
    if (passage.faint.empty()) {
      insert.bind_null(11);
    } else {
      insert.bind_one(11, std::string_view(passage.faint));
    }
    KNAP_CHECK_OK(insert.run());
  }
  return {};
}

Status StoreImpl::drop_content(FileId file) {
  KNAP_TRY(auto remove_note, writer_->prepare("DELETE FROM notes WHERE file = ?"));
  remove_note.bind(static_cast<std::int64_t>(file));
  KNAP_CHECK_OK(remove_note.run());
  KNAP_TRY(auto remove, writer_->prepare("DELETE FROM passages WHERE id >= ? AND id < ?"));
  remove.bind(first_row(file), first_row(file) + kPassagesPerFileMax);
  return remove.run();
}

}  // namespace knap::store
