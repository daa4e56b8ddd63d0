#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "documents.hpp"
#include "knap/base/file.hpp"
#include "knap/base/text.hpp"
#include "service_impl.hpp"

namespace knap::index {
namespace {

constexpr std::size_t kNameBytesMax = 200;
constexpr int kSameNameMax = 1'000;
constexpr auto kLookEvery = std::chrono::milliseconds(50);

Status check_name(std::string_view name) {
  const auto odd = [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7F || c == '/' || c == '\\';
  };
  if (name.empty() || name.size() > kNameBytesMax || !text::is_valid_utf8(name) ||
      name.front() == '.' || std::any_of(name.begin(), name.end(), odd)) {
    return make_error(ErrorCode::kInvalidArgument,
                      "the name of an imported file must have 1 to 200 bytes, no folder and no dot "
                      "in front, as in: Report.pdf");
  }
  return {};
}

/// A try that has failed counts: what comes of the next one nobody waits for.
bool is_settled(const LedgerEntry& entry) {
  if (entry.state == FileState::kStale) return entry.retry_at_ms != 0;
  return entry.state != FileState::kPending;
}

/// "Report.pdf", "Report (2).pdf", ...
std::string numbered(std::string_view name, int number) {
  if (number == 1) return std::string(name);
  const std::size_t dot = std::min(name.rfind('.'), name.size());
  return fmt::format("{} ({}){}", name.substr(0, dot), number, name.substr(dot));
}

}  // namespace

FileRow ServiceImpl::row_of(const Place& place) {
  const LedgerEntry& entry = place.entry;
  FileRow row;
  row.vault = place.vault->config.name;
  row.path = text::repair_utf8(place.path);
  row.state = entry.state;
  row.reason = entry.reason;
  if (entry.hash) row.hash = entry.hash->hex();
  row.indexed_at_ms = entry.indexed_at_ms;
  return row;
}

Result<FileRow> ServiceImpl::file(std::string_view vault, std::string_view path) const {
  KNAP_TRY(const Place place, find(vault, path));
  return row_of(place);
}

Result<FileRow> ServiceImpl::wait_for_file(std::string_view vault, std::string_view path,
                                           Deadline deadline, const CancelToken& cancel) {
  const auto wanted = std::find_if(vaults_.begin(), vaults_.end(), [&](const auto& candidate) {
    return vault.empty() || candidate->config.name == vault;
  });
  if (wanted == vaults_.end())
    return make_error(ErrorCode::kNotFound, "there is no vault named " + std::string(vault));
  VaultState& state = **wanted;
  // Whatever the watcher does: it may be off.
  vault::Changes changes;
  changes.paths.emplace_back(path);
  indexer_->changed(state, std::move(changes));
  for (;;) {
    const auto place = find(state.config.name, path);
    const auto now = vault::fingerprint(state.config.root / std::string(path));
    if (!now) return make_error(ErrorCode::kNotFound, "there is no file " + std::string(path));
    if (place && place->entry.ticket == 0 && is_settled(place->entry) &&
        place->entry.fingerprint == *now)
      return row_of(*place);
    KNAP_CHECK_OK(still_wanted(cancel, deadline));
    indexer_->wait_changed(deadline.earlier(Deadline::after(kLookEvery)));
  }
}

Result<VaultState*> ServiceImpl::folder_of_imports() const {
  const auto imports = std::find_if(vaults_.begin(), vaults_.end(), [](const auto& vault) {
    return vault->config.kind == VaultConfig::Kind::kImports;
  });
  if (imports == vaults_.end())
    return make_error(ErrorCode::kFailedPrecondition, "this server keeps no imported files");
  return imports->get();
}

FileRow ServiceImpl::taken_in(VaultState& state, std::string path) {
  vault::Changes changes;
  changes.paths.push_back(path);
  indexer_->changed(state, std::move(changes));
  FileRow row;
  row.vault = state.config.name;
  row.path = std::move(path);
  return row;
}

Result<FileRow> ServiceImpl::import_note(std::string_view name, std::string_view text) {
  KNAP_CHECK_OK(check_name(name));
  if (!name.ends_with(".md"))
    return make_error(ErrorCode::kInvalidArgument, "the name of a note must end in .md");
  if (text.size() > options_.max_file_bytes)
    return make_error(ErrorCode::kResourceExhausted,
                      fmt::format("larger than {} bytes", options_.max_file_bytes));
  KNAP_TRY(VaultState * imports, folder_of_imports());
  MutexLock lock(import_mutex_);
  KNAP_CHECK_OK(write_file_atomic(imports->config.root / std::string(name), text));
  return taken_in(*imports, std::string(name));
}

Status ServiceImpl::drop_import(std::string_view name) {
  KNAP_CHECK_OK(check_name(name));
  const auto imports = folder_of_imports();
  if (!imports) return {};  // then nothing was kept
  const std::filesystem::path file = (*imports)->config.root / std::string(name);
  MutexLock lock(import_mutex_);
  std::error_code error;
  if (std::filesystem::remove(file, error)) taken_in(**imports, std::string(name));
  if (error) return errno_error(error.value(), "cannot remove", file);
  return {};
}

Result<FileRow> ServiceImpl::import_file(std::string_view name, std::string_view bytes) {
  KNAP_CHECK_OK(check_name(name));
  const DocumentReader* reader = find_reader(options_.documents, name);
  if (reader == nullptr) {
    return make_error(ErrorCode::kUnsupported,
                      "files of this kind are not read: the name must end as in Report.pdf, and "
                      "the settings must not leave them out");
  }
  if (!reader->off.empty()) return make_error(ErrorCode::kUnsupported, reader->off);
  if (bytes.size() > reader->max_file_bytes)
    return make_error(ErrorCode::kResourceExhausted,
                      fmt::format("larger than {} bytes", reader->max_file_bytes));
  KNAP_TRY(VaultState * imports, folder_of_imports());
  VaultState& state = *imports;
  MutexLock lock(import_mutex_);
  for (int number = 1; number <= kSameNameMax; ++number) {
    const std::string path = numbered(name, number);
    const std::filesystem::path file = state.config.root / path;
    std::error_code ignored;
    if (std::filesystem::exists(std::filesystem::symlink_status(file, ignored))) {
      const auto there = read_file(file, reader->max_file_bytes);
      if (!there || *there != bytes) continue;
    } else {
      KNAP_CHECK_OK(write_file_atomic(file, bytes));
    }
    return taken_in(state, path);
  }
  return make_error(ErrorCode::kResourceExhausted,
                    "a thousand imported files have this name: choose another");
}

}  // namespace knap::index
