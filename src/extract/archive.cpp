#include "archive.hpp"

#include <memory>

#include <archive.h>
#include <archive_entry.h>

namespace knap::extract {
namespace {

Error damaged() { return make_error(ErrorCode::kCorruptData, "damaged: it cannot be unpacked"); }
Error bomb() {
  return make_error(ErrorCode::kResourceExhausted, "unpacked it is larger than the limit");
}

Result<std::string> read_entry(archive* from) {
  std::string out;
  const void* block = nullptr;
  std::size_t size = 0;
  la_int64_t offset = 0;
  for (;;) {
    const int got = archive_read_data_block(from, &block, &size, &offset);
    if (got == ARCHIVE_EOF) return out;
    if (got != ARCHIVE_OK) return damaged();
    if (offset < 0 || static_cast<std::uint64_t>(offset) + size > kArchiveEntryBytesMax)
      return bomb();
    out.resize(static_cast<std::size_t>(offset));
    out.append(static_cast<const char*>(block), size);
  }
}

}  // namespace

Result<Parts> unpack(std::string_view bytes, const std::function<bool(std::string_view)>& wanted) {
  const std::unique_ptr<archive, decltype(&archive_read_free)> from(archive_read_new(),
                                                                    archive_read_free);
  if (!from) return make_error(ErrorCode::kResourceExhausted, "no memory to unpack");
  archive_read_support_format_zip_seekable(from.get());
  if (archive_read_open_memory(from.get(), bytes.data(), bytes.size()) != ARCHIVE_OK)
    return make_error(ErrorCode::kCorruptData, "not such a file, in spite of its name");
  Parts parts;
  std::size_t total = 0;
  for (std::size_t entries = 0;; ++entries) {
    if (entries > kArchiveEntriesMax) return bomb();
    archive_entry* entry = nullptr;
    const int next = archive_read_next_header(from.get(), &entry);
    if (next == ARCHIVE_EOF) break;
    if (next != ARCHIVE_OK && next != ARCHIVE_WARN) {
      if (parts.empty())
        return make_error(ErrorCode::kCorruptData, "not such a file, in spite of its name");
      return damaged();
    }
    const char* name = archive_entry_pathname_utf8(entry);
    if (name == nullptr) name = archive_entry_pathname(entry);
    if (name == nullptr || !wanted(name)) continue;
    if (archive_entry_is_encrypted(entry) != 0)
      return make_error(ErrorCode::kUnsupported, "encrypted: it needs a password");
    KNAP_TRY(std::string part, read_entry(from.get()));
    total += part.size();
    if (total > kArchiveTotalBytesMax) return bomb();
    parts.insert_or_assign(name, std::move(part));
  }
  return parts;
}

}  // namespace knap::extract
