#include "knap/base/file.hpp"

#include <cerrno>
#include <cstring>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace knap {
namespace {

ErrorCode code_of(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR: return ErrorCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS: return ErrorCode::kPermissionDenied;
    case EEXIST: return ErrorCode::kAlreadyExists;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case EFBIG: return ErrorCode::kResourceExhausted;
    default: return ErrorCode::kIo;
  }
}

std::string_view advice(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR: return "check the path";
    case EACCES:
    case EPERM: return "check the permissions";
    case EROFS: return "the file system is read-only: choose another folder";
    case ENOSPC:
    case EDQUOT: return "free some disk space and try again";
    case EMFILE:
    case ENFILE: return "raise the limit of open files (ulimit -n)";
    default: return "check the disk";
  }
}

Status write_all(int fd, std::string_view bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno_error(errno, "write", path);
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

}  // namespace

Error errno_error(int error_number, std::string_view what, const std::filesystem::path& path) {
  return make_error(code_of(error_number), "cannot " + std::string(what) + " " + path.string() +
                                               ": " +
                                               std::generic_category().message(error_number) +
                                               "; " + std::string(advice(error_number)));
}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

void FileDescriptor::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<std::string> read_file(const std::filesystem::path& path, std::uint64_t max_bytes) {
  // O_NONBLOCK: opening a named pipe must not hang; it is then refused as no regular file.
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return errno_error(errno, "open", path);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return errno_error(errno, "examine", path);
  if (!S_ISREG(info.st_mode))
    return make_error(ErrorCode::kInvalidArgument, path.string() + " is not a regular file");
  if (static_cast<std::uint64_t>(info.st_size) > max_bytes) {
    return make_error(ErrorCode::kResourceExhausted,
                      path.string() + " has " + std::to_string(info.st_size) +
                          " bytes, more than the limit of " + std::to_string(max_bytes));
  }
  std::string out;
  // One byte more than the size: a file that grew while it was read is seen.
  out.resize(static_cast<std::size_t>(info.st_size) + 1);
  std::size_t length = 0;
  while (true) {
    if (length == out.size()) {
      if (length > max_bytes) {
        return make_error(
            ErrorCode::kResourceExhausted,
            path.string() + " grew past the limit of " + std::to_string(max_bytes) + " bytes");
      }
      out.resize(out.size() * 2);
    }
    const ssize_t got = ::read(fd.get(), out.data() + length, out.size() - length);
    if (got < 0) {
      if (errno == EINTR) continue;
      return errno_error(errno, "read", path);
    }
    if (got == 0) break;
    length += static_cast<std::size_t>(got);
  }
  if (length > max_bytes) {
    return make_error(ErrorCode::kResourceExhausted, path.string() + " grew past the limit of " +
                                                         std::to_string(max_bytes) + " bytes");
  }
  out.resize(length);
  return out;
}

Result<AtomicFile> AtomicFile::create(const std::filesystem::path& path) {
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  std::string temporary = (folder / ("." + path.filename().string() + ".XXXXXX")).string();
  FileDescriptor fd(::mkstemp(temporary.data()));
  if (!fd.valid()) return errno_error(errno, "create a file in", folder);
  return AtomicFile(path, std::move(temporary), std::move(fd));
}

AtomicFile::~AtomicFile() {
  if (fd_.valid()) ::unlink(temporary_.c_str());
}

Status AtomicFile::write(std::string_view bytes) { return write_all(fd_.get(), bytes, path_); }

Status AtomicFile::commit() {
  if (::fsync(fd_.get()) != 0) return errno_error(errno, "sync", path_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return errno_error(errno, "replace", path_);
  fd_.reset();
  const auto folder = std::filesystem::path(temporary_).parent_path();
  const FileDescriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.valid()) ::fsync(directory.get());
  return {};
}

Status write_file_atomic(const std::filesystem::path& path, std::string_view bytes) {
  KNAP_TRY(auto file, AtomicFile::create(path));
  KNAP_CHECK_OK(file.write(bytes));
  return file.commit();
}

}  // namespace knap
