#include "reader.hpp"

#include <algorithm>

#include "knap/base/file.hpp"
#include "knap/base/text.hpp"
#include "knap/vault/parse.hpp"

namespace knap::index {
namespace {

constexpr std::int64_t kRetryFirstMs = 1'000;
constexpr std::int64_t kRetryMaxMs = 300'000;
constexpr std::uint32_t kRetryDoublingsMax = 9;

}  // namespace

store::FileRecord record_of(const FileTask& task, store::FileState state, std::string reason) {
  store::FileRecord record;
  record.id = task.id;
  record.path = task.path;
  record.size_bytes = task.fingerprint.size_bytes;
  record.mtime_ns = task.fingerprint.mtime_ns;
  record.inode = task.fingerprint.inode;
  record.state = state;
  record.reason = std::move(reason);
  record.indexed_at_ms = unix_now_ms();
  record.parser_version = task.parser_version;
  return record;
}

void plan_retry(const FileTask& task, store::FileRecord& record) {
  record.attempts = task.attempts + 1;
  record.retry_at_ms =
      unix_now_ms() +
      std::min(kRetryMaxMs, kRetryFirstMs << std::min(task.attempts, kRetryDoublingsMax));
}

namespace {

bool has_text(vault::FileType type) {
  switch (type) {
    case vault::FileType::kMarkdown:
    case vault::FileType::kCanvas:
    case vault::FileType::kBase:
    case vault::FileType::kExcalidraw: return true;
    case vault::FileType::kPdf:
    case vault::FileType::kAudio:
    case vault::FileType::kVideo:
    case vault::FileType::kImage:
    case vault::FileType::kWeb:
    case vault::FileType::kOther:
    case vault::FileType::kOffice:
    case vault::FileType::kText:
    case vault::FileType::kBook: return false;
  }
  return false;
}

/// The message without the folder that the vault lies in: reasons are shown to readers of the
/// vault.
std::string short_reason(const Error& error, const std::filesystem::path& root) {
  std::string reason = error.message;
  const std::string prefix = root.string() + "/";
  if (const auto at = reason.find(prefix); at != std::string::npos) reason.erase(at, prefix.size());
  return reason;
}

void drop(Prepared& prepared, store::FileState state, std::string reason) {
  prepared.outcome = Prepared::Outcome::kDropped;
  prepared.change.file = record_of(prepared.task, state, std::move(reason));
  prepared.change.content = store::FileChange::Content::kDrop;
}

/// A file that may be readable later: with content it stays as it was, stale; without it has failed
/// for now.
void retry_later(Prepared& prepared, std::string reason) {
  const FileTask& task = prepared.task;
  drop(prepared, task.had_content ? store::FileState::kStale : store::FileState::kFailed,
       std::move(reason));
  store::FileRecord& record = prepared.change.file;
  record.hash = task.known_hash;
  plan_retry(task, record);
  if (!task.had_content) return;
  prepared.outcome = Prepared::Outcome::kKept;
  prepared.change.content = store::FileChange::Content::kKeep;
}

}  // namespace

void report_unreadable(Prepared& prepared, const Error& error, const std::filesystem::path& root) {
  switch (error.code) {
    case ErrorCode::kNotFound: prepared.outcome = Prepared::Outcome::kVanished; return;
    case ErrorCode::kResourceExhausted:
    case ErrorCode::kInvalidArgument:
      drop(prepared, store::FileState::kSkipped, short_reason(error, root));
      return;
    case ErrorCode::kPermissionDenied:
      // What the owner withdrew is not shown any longer, but asked for again.
      prepared.task.had_content = false;
      retry_later(prepared, short_reason(error, root));
      return;
    default: retry_later(prepared, short_reason(error, root));
  }
}

void fill(Prepared& prepared, vault::Note note) {
  store::FileChange& change = prepared.change;
  change.content = store::FileChange::Content::kReplace;
  prepared.meta = meta_of(note);
  for (vault::Tag& tag : note.tags) prepared.tags.push_back(std::move(tag.name));
  change.note = {note.title, note.name, note.language, join_lines(prepared.tags),
                 encode(prepared.meta)};
  prepared.bytes = change.note.meta.size();
  change.passages.reserve(note.passages.size());
  for (vault::Passage& passage : note.passages) {
    if (change.passages.size() == store::kPassagesPerFileMax) break;
    store::PassageRecord record;
    record.kind = static_cast<std::uint8_t>(passage.kind);
    record.first_line = passage.lines.first;
    record.last_line = passage.lines.last;
    record.place = passage.place;
    record.block = std::move(passage.block);
    record.headings = join_lines(passage.headings);
    record.hash = hash128(embedded_text(record.headings, passage.plain));
    record.text = std::move(passage.text);
    record.plain = std::move(passage.plain);
    prepared.bytes += record.text.size() + record.plain.size();
    change.passages.push_back(std::move(record));
  }
  prepared.outcome = Prepared::Outcome::kIndexed;
}

std::string embedded_text(std::string_view headings, std::string_view plain) {
  std::string out;
  out.reserve(headings.size() + plain.size() + 16);
  for (const char c : headings) {
    if (c == '\n') {
      out += " > ";
    } else {
      out += c;
    }
  }
  if (!out.empty()) out += '\n';
  out += plain;
  return out;
}

void set_boilerplate_aside(Prepared& prepared, const Boilerplate& boilerplate) {
  if (boilerplate.empty()) return;
  for (store::PassageRecord& passage : prepared.change.passages) {
    auto parts = boilerplate.split(passage.plain);
    if (!parts) continue;
    passage.plain = std::move(parts->plain);
    passage.faint = std::move(parts->faint);
    passage.hash = hash128(embedded_text(passage.headings, passage.plain));
  }
}

Prepared prepare_problem(FileTask task, std::string_view problem) {
  Prepared prepared;
  prepared.task = std::move(task);
  const bool failed = problem.starts_with("unreadable");
  drop(prepared, failed ? store::FileState::kFailed : store::FileState::kSkipped,
       std::string(problem));
  return prepared;
}

Prepared prepare(const std::filesystem::path& root, FileTask task, std::uint64_t max_file_bytes) {
  Prepared prepared;
  prepared.task = std::move(task);
  const std::string& path = prepared.task.path;
  std::string bytes;
  std::optional<Hash128> hash;
  if (path.ends_with(".md") || has_text(vault::file_type(path))) {
    auto read = read_file(root / path, max_file_bytes);
    if (!read) {
      report_unreadable(prepared, read.error(), root);
      return prepared;
    }
    prepared.was_read = true;
    bytes = std::move(*read);
    hash = hash128(bytes);
    if (prepared.task.known_hash == hash) {
      prepared.outcome = Prepared::Outcome::kUnchanged;
      prepared.change.file = record_of(prepared.task, store::FileState::kIndexed, {});
      prepared.change.file.hash = hash;
      prepared.change.content = store::FileChange::Content::kKeep;
      return prepared;
    }
  }
  prepared.was_parsed = true;
  auto note = vault::parse(text::nfc(path), bytes);
  if (!note) {
    const bool unsupported = note.error().code == ErrorCode::kUnsupported;
    drop(prepared, unsupported ? store::FileState::kSkipped : store::FileState::kFailed,
         note.error().message);
  } else {
    prepared.change.file = record_of(prepared.task, store::FileState::kIndexed, {});
    fill(prepared, std::move(*note));
  }
  prepared.change.file.hash = hash;
  return prepared;
}

}  // namespace knap::index
