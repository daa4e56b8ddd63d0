#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "knap/base/result.hpp"

namespace knap {

/// Reads a regular file whole. Errors: kNotFound, kPermissionDenied, kIo; kResourceExhausted when
/// longer than max_bytes.
Result<std::string> read_file(const std::filesystem::path& path, std::uint64_t max_bytes);

/// Replaces a file at once: temporary name, write, sync, rename, sync folder. Errors: kIo,
/// kResourceExhausted (disk full).
Status write_file_atomic(const std::filesystem::path& path, std::string_view bytes);

/// Turns errno of a failed call on `path` into an Error whose message says what to do.
Error errno_error(int error_number, std::string_view what, const std::filesystem::path& path);

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

}  // namespace knap
