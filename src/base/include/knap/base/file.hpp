#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "knap/base/result.hpp"

namespace knap {

/// Owns a file descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor() { reset(); }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset();

 private:
  int fd_ = -1;
};

/// Reads a regular file whole. Errors: kNotFound, kPermissionDenied, kIo; kResourceExhausted when
/// longer than max_bytes.
Result<std::string> read_file(const std::filesystem::path& path, std::uint64_t max_bytes);

/// Replaces a file at once: temporary name, write, sync, rename, sync folder. Errors: kIo,
/// kResourceExhausted (disk full).
Status write_file_atomic(const std::filesystem::path& path, std::string_view bytes);

/// The same with bytes that come piece by piece, so that they never lie in memory together:
///   KNAP_TRY(auto file, AtomicFile::create(path));
///   KNAP_CHECK_OK(file.write(piece));  // as often as there are pieces
///   KNAP_CHECK_OK(file.commit());
/// What is not committed leaves no trace. Threads: one at a time.
class AtomicFile {
 public:
  static Result<AtomicFile> create(const std::filesystem::path& path);
  AtomicFile(AtomicFile&&) noexcept = default;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();
  Status write(std::string_view bytes);
  /// Called once, at the end.
  Status commit();

 private:
  AtomicFile(std::filesystem::path path, std::string temporary, FileDescriptor fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(std::move(fd)) {}
  std::filesystem::path path_;
  std::string temporary_;
  FileDescriptor fd_;  // open until it is committed
};

/// Turns errno of a failed call on `path` into an Error whose message says what to do.
Error errno_error(int error_number, std::string_view what, const std::filesystem::path& path);

}  // namespace knap
