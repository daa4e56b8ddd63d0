#include "documents.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "knap/base/bytes.hpp"
#include "knap/base/file.hpp"
#include "knap/base/text.hpp"
#include "knap/observe/log.hpp"
#include "knap/vault/parse.hpp"

namespace knap::index {
namespace {

constexpr std::uint8_t kKeptVersion = 1;
constexpr std::size_t kReasonBytesMax = 500;
/// Readings that ran out of time; the next one would as well.
constexpr std::uint32_t kLateAttemptsMax = 3;

store::ReaderVersion version_of(const DocumentReader& reader) {
  return {reader.id, reader.version};
}

std::optional<vault::DateTime> day_of(std::string_view iso) {
  constexpr std::size_t kDayBytes = 10;
  if (iso.size() < kDayBytes || iso[4] != '-' || iso[7] != '-') return std::nullopt;
  vault::DateTime day;
  const auto number = [&](std::size_t at, std::size_t length, auto& out) {
    const char* begin = iso.data() + at;
    return std::from_chars(begin, begin + length, out).ptr == begin + length;
  };
  if (!number(0, 4, day.year) || !number(5, 2, day.month) || !number(8, 2, day.day))
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(day.year), std::chrono::month(day.month),
                                         std::chrono::day(day.day)};
  if (!date.ok()) return std::nullopt;
  return day;
}

vault::TextBlock::Kind kind_of(extract::Block::Kind kind) {
  switch (kind) {
    case extract::Block::Kind::kHeading: return vault::TextBlock::Kind::kHeading;
    case extract::Block::Kind::kParagraph: return vault::TextBlock::Kind::kParagraph;
    case extract::Block::Kind::kListItem: return vault::TextBlock::Kind::kListItem;
    case extract::Block::Kind::kTableRow: return vault::TextBlock::Kind::kTableRow;
    case extract::Block::Kind::kCode: return vault::TextBlock::Kind::kCode;
  }
  return vault::TextBlock::Kind::kParagraph;
}

struct OpenFile {
  FileDescriptor fd;
  struct stat info {};
};

Result<OpenFile> open_file(const std::filesystem::path& path) {
  OpenFile file;
  // O_NONBLOCK: opening a named pipe must not hang; it is then refused as no regular file.
  file.fd = FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.fd.valid()) return errno_error(errno, "open", path);
  if (::fstat(file.fd.get(), &file.info) != 0) return errno_error(errno, "examine", path);
  if (!S_ISREG(file.info.st_mode))
    return make_error(ErrorCode::kInvalidArgument, path.string() + " is not a regular file");
  return file;
}

bool same_content(const struct stat& a, const struct stat& b) {
  return a.st_size == b.st_size && a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
         a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

/// One document on its way.
class Work {
 public:
  Work(const DocumentJob& job, FileTask task, const CancelToken& cancel)
      : job_(job), task_(std::move(task)), cancel_(cancel) {}

  std::optional<Prepared> run() {
    if (const Status ready = job_.reader.ready ? job_.reader.ready() : Status(); !ready)
      return later(ready.error());
    const auto file = open_file(job_.root / task_.path);
    if (!file) return unreadable(file.error());
    if (static_cast<std::uint64_t>(file->info.st_size) > job_.reader.max_file_bytes) {
      return refuse(store::FileState::kSkipped,
                    fmt::format("larger than {} bytes", job_.reader.max_file_bytes));
    }
    const auto hash = hash128_file(file->fd.get(), job_.reader.max_file_bytes);
    if (!hash) return later(hash.error());
    hash_ = *hash;
    auto extracted = kept();
    if (!extracted) extracted = take_out(*file);
    if (!extracted) return std::move(failed_);
    if (!extracted->document) {
      const bool broken = extracted->error.code == ErrorCode::kCorruptData;
      return refuse(broken ? store::FileState::kFailed : store::FileState::kSkipped,
                    extracted->error.message);
    }
    Prepared prepared = begin();
    fill(prepared, note_of(text::nfc(prepared.task.path), *extracted->document).note);
    prepared.change.file = record_of(prepared.task, store::FileState::kIndexed, {});
    prepared.change.file.hash = hash_;
    return prepared;
  }

 private:
  Prepared begin() {
    Prepared prepared;
    prepared.task = std::move(task_);
    prepared.was_read = hash_.has_value();
    prepared.was_parsed = true;
    return prepared;
  }

  std::optional<Extracted> kept() const {
    auto bytes = job_.store.extraction(*hash_, version_of(job_.reader));
    if (!bytes || !*bytes) return std::nullopt;
    auto extracted = decode_extracted(**bytes);
    if (!extracted) return std::nullopt;  // damaged: made anew
    return std::move(*extracted);
  }

  /// Nothing: `failed_` says what became of the file, or it was stopped.
  std::optional<Extracted> take_out(const OpenFile& file) {
    if (!job_.wait_for_turn()) return std::nullopt;
    const auto begin = SteadyClock::now();
    auto document =
        job_.reader.read(file.fd.get(), task_.path, Deadline::after(job_.reader.limit), cancel_);
    job_.count(SteadyClock::now() - begin, document.has_value());
    if (cancel_.cancelled()) return std::nullopt;
    struct stat after {};
    if (::fstat(file.fd.get(), &after) != 0 || !same_content(file.info, after)) {
      // What came out may be half of the old content and half of the new.
      failed_ = later(make_error(ErrorCode::kUnavailable, "changed while it was read"));
      return std::nullopt;
    }
    Extracted extracted;
    if (document) {
      extracted.document = std::move(*document);
    } else {
      extracted.error = document.error();
      const bool late = extracted.error.code == ErrorCode::kDeadlineExceeded;
      if (late && task_.attempts + 1 >= kLateAttemptsMax)
        extracted.error.code = ErrorCode::kResourceExhausted;
      if (!is_final(extracted.error.code)) {
        failed_ = later(extracted.error);
        return std::nullopt;
      }
    }
    const Status put = job_.store.put_extraction(*hash_, version_of(job_.reader), encode(extracted),
                                                 unix_now_ms());
    // The text is there all the same; a store that is full fails when the passages are written.
    if (!put) observe::log_warning("extraction_not_kept", put.error().message);
    return extracted;
  }

  std::optional<Prepared> unreadable(const Error& error) {
    Prepared prepared = begin();
    report_unreadable(prepared, error, job_.root);
    return prepared;
  }

  Prepared refuse(store::FileState state, std::string reason) {
    Prepared prepared =
        name_only(std::move(task_), Prepared::Outcome::kIndexed, state, std::move(reason));
    prepared.change.file.hash = hash_;
    prepared.was_read = hash_.has_value();
    return prepared;
  }

  /// Tried again: a version with text stays as it is, else the name is found.
  Prepared later(const Error& error) {
    const auto passages = job_.store.passage_hashes(task_.id);
    if (!task_.had_content || (passages && passages->empty())) {
      Prepared prepared = name_only(std::move(task_), Prepared::Outcome::kIndexed,
                                    store::FileState::kFailed, error.message);
      plan_retry(prepared.task, prepared.change.file);
      return prepared;
    }
    Prepared prepared = begin();
    prepared.outcome = Prepared::Outcome::kKept;
    prepared.change.file = record_of(prepared.task, store::FileState::kStale, error.message);
    prepared.change.file.hash = prepared.task.known_hash;
    prepared.change.content = store::FileChange::Content::kKeep;
    plan_retry(prepared.task, prepared.change.file);
    return prepared;
  }

  const DocumentJob& job_;
  FileTask task_;
  const CancelToken& cancel_;
  std::optional<Hash128> hash_;
  std::optional<Prepared> failed_;
};

}  // namespace

const DocumentReader* find_reader(const std::vector<DocumentReader>& readers,
                                  std::string_view path) {
  if (readers.empty() || path.ends_with(".md")) return nullptr;
  const vault::FileType type = vault::file_type(path);
  for (const DocumentReader& reader : readers) {
    if (std::find(reader.types.begin(), reader.types.end(), type) != reader.types.end())
      return &reader;
  }
  return nullptr;
}

std::uint32_t parser_version_of(const DocumentReader* reader) {
  constexpr int kReaderShift = 24, kVersionShift = 12;
  static_assert(kParserVersion < (1U << kVersionShift));
  // One that is off reads nothing: switched on, it meets files of a version that is not its own.
  if (reader == nullptr || !reader->off.empty()) return kParserVersion;
  return std::uint32_t{reader->id} << kReaderShift |
         std::uint32_t{reader->version} << kVersionShift | kParserVersion;
}

bool is_final(ErrorCode code) {
  return code == ErrorCode::kUnsupported || code == ErrorCode::kCorruptData ||
         code == ErrorCode::kResourceExhausted;
}

std::string encode(const Extracted& extracted) {
  ByteWriter out;
  out.value(kKeptVersion);
  out.value(static_cast<std::uint8_t>(extracted.document ? 1 : 0));
  if (extracted.document) {
    out.raw(extract::encode(*extracted.document));
  } else {
    out.value(static_cast<std::uint8_t>(extracted.error.code));
    out.raw(text::truncate(extracted.error.message, kReasonBytesMax));
  }
  return out.take();
}

Result<Extracted> decode_extracted(std::string_view bytes) {
  ByteReader in(bytes);
  const auto version = in.value<std::uint8_t>();
  const auto has_document = in.value<std::uint8_t>();
  if (!in.ok() || version != kKeptVersion || has_document > 1)
    return make_error(ErrorCode::kCorruptData, "a kept text is damaged");
  Extracted out;
  if (has_document == 1) {
    KNAP_TRY(out.document, extract::decode(in.take(in.left())));
    return out;
  }
  out.error.code = static_cast<ErrorCode>(in.value<std::uint8_t>());
  if (!in.ok() || !is_final(out.error.code))
    return make_error(ErrorCode::kCorruptData, "a kept reason is damaged");
  out.error.message = text::repair_utf8(in.take(in.left()));
  return out;
}

vault::TextNote note_of(std::string_view path, const extract::Document& document) {
  std::vector<vault::TextBlock> blocks;
  blocks.reserve(document.blocks.size());
  for (const extract::Block& block : document.blocks)
    blocks.push_back({kind_of(block.kind), block.level, block.place, block.text});
  vault::TextNote out = vault::read_blocks(path, document.title, blocks);
  if (!document.author.empty())
    out.note.properties.push_back({.name = "author", .values = {document.author}});
  if (document.confidence != 0) {
    out.note.properties.push_back(
        {.name = "ocr_confidence", .values = {static_cast<double>(document.confidence)}});
  }
  out.note.created = day_of(document.created);
  return out;
}

Prepared name_only(FileTask task, Prepared::Outcome outcome, store::FileState state,
                   std::string reason) {
  Prepared prepared;
  prepared.task = std::move(task);
  fill(prepared, vault::read_blocks(text::nfc(prepared.task.path), {}, {}).note);
  prepared.outcome = outcome;
  prepared.change.file = record_of(prepared.task, state, std::move(reason));
  // Its text is still to come from the queue. Should the process end before, the next start finds a
  // version that no reader has, and reads the file.
  if (outcome == Prepared::Outcome::kNamed) prepared.change.file.parser_version = 0;
  return prepared;
}

std::optional<Prepared> prepare_document(const DocumentJob& job, FileTask task,
                                         const CancelToken& cancel) {
  return Work(job, std::move(task), cancel).run();
}

}  // namespace knap::index
