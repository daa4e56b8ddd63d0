#include "disk_segment.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include <fmt/format.h>

namespace knap::cache {
namespace {

constexpr std::string_view kNamePrefix = "cache-";
constexpr std::string_view kNameSuffix = ".segment";
/// A segment is closed when it passes 64 MiB; what is much larger was not written by us.
constexpr std::uint64_t kFileBytesMax = 256U << 20;

}  // namespace

std::filesystem::path DiskSegment::file_of(const std::filesystem::path& folder,
                                           std::uint64_t number) {
  return folder / fmt::format("{}{:010}{}", kNamePrefix, number, kNameSuffix);
}

std::uint64_t DiskSegment::number_of(const std::filesystem::path& file) {
  const std::string name = file.filename().string();
  if (!name.starts_with(kNamePrefix) || !name.ends_with(kNameSuffix)) return 0;
  std::uint64_t number = 0;
  const char* begin = name.data() + kNamePrefix.size();
  const char* end = name.data() + name.size() - kNameSuffix.size();
  const auto [stop, error] = std::from_chars(begin, end, number);
  return error == std::errc() && stop == end ? number : 0;
}

Result<std::shared_ptr<DiskSegment>> DiskSegment::create(const std::filesystem::path& folder,
                                                         const disk::SegmentHead& head) {
  const auto file = file_of(folder, head.number);
  FileDescriptor fd(::open(file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd.valid()) return errno_error(errno, "create", file);
  std::shared_ptr<DiskSegment> segment(new DiskSegment(file, head, std::move(fd), 0));
  if (const Status written = segment->append(disk::segment_head(head)); !written) {
    segment->forget();
    return written.error();
  }
  return segment;
}

Result<std::shared_ptr<DiskSegment>> DiskSegment::open(const std::filesystem::path& file,
                                                       std::vector<disk::Listed>& records) {
  FileDescriptor fd(::open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) return errno_error(errno, "open", file);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return errno_error(errno, "look at", file);
  const auto bytes = static_cast<std::uint64_t>(status.st_size);
  const auto corrupt = [&](std::string_view why) {
    return make_error(ErrorCode::kCorruptData, fmt::format("{}: {}", file.string(), why));
  };
  if (!S_ISREG(status.st_mode) || bytes > kFileBytesMax) return corrupt("not a cache segment");
  std::shared_ptr<DiskSegment> segment(new DiskSegment(file, {}, std::move(fd), bytes));
  if (bytes < disk::kSegmentHeadBytes) return corrupt("cut off");
  KNAP_TRY(const auto head_bytes, segment->read(0, disk::kSegmentHeadBytes));
  const auto head = disk::parse_segment_head(head_bytes);
  if (!head || head->number != number_of(file))
    return corrupt("not a cache segment of this version");
  segment->head_ = *head;
  if (auto list = segment->list()) {
    records = std::move(*list);
    return segment;
  }
  KNAP_TRY(const auto whole, segment->read(0, bytes));
  const std::uint64_t end = disk::scan(whole, head->salt, records);
  if (::ftruncate(segment->descriptor_.get(), static_cast<off_t>(end)) != 0)
    return errno_error(errno, "cut", file);
  segment->end_ = end;
  KNAP_CHECK_OK(segment->seal(records));
  return segment;
}

Result<std::vector<disk::Listed>> DiskSegment::list() const {
  const auto unsealed = [&] {
    return make_error(ErrorCode::kCorruptData, fmt::format("{}: not sealed", file_.string()));
  };
  const std::uint64_t file_bytes = bytes();
  if (file_bytes < disk::kSegmentHeadBytes + disk::kTrailerBytes) return unsealed();
  KNAP_TRY(const auto trailer_bytes, read(file_bytes - disk::kTrailerBytes, disk::kTrailerBytes));
  const auto trailer = disk::parse_trailer(trailer_bytes, file_bytes);
  if (!trailer) return unsealed();
  KNAP_TRY(const auto list_bytes,
           read(trailer->list_offset, trailer->count * sizeof(disk::Listed)));
  auto list = disk::parse_list(list_bytes, *trailer);
  if (!list) return unsealed();
  return std::move(*list);
}

Status DiskSegment::write_at(std::uint64_t offset, std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t written =
        ::pwrite(descriptor_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return errno_error(written == 0 ? ENOSPC : errno, "write", file_);
    bytes.remove_prefix(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

Status DiskSegment::append(std::string_view records) {
  KNAP_CHECK_OK(write_at(bytes(), records));
  end_.fetch_add(records.size(), std::memory_order_relaxed);
  return {};
}

Status DiskSegment::seal(const std::vector<disk::Listed>& records) {
  return append(disk::seal(records, bytes()));
}

Result<std::string> DiskSegment::read(std::uint64_t offset, std::size_t bytes) const {
  std::string out(bytes, '\0');
  std::size_t got = 0;
  while (got < bytes) {
    const ssize_t read =
        ::pread(descriptor_.get(), out.data() + got, bytes - got, static_cast<off_t>(offset + got));
    if (read < 0 && errno == EINTR) continue;
    if (read < 0) return errno_error(errno, "read", file_);
    if (read == 0)
      return make_error(ErrorCode::kCorruptData, fmt::format("{}: cut off", file_.string()));
    got += static_cast<std::size_t>(read);
  }
  return out;
}

Status DiskSegment::sync() const {
  if (::fdatasync(descriptor_.get()) != 0) return errno_error(errno, "sync", file_);
  return {};
}

void DiskSegment::forget() const { ::unlink(file_.c_str()); }

}  // namespace knap::cache
