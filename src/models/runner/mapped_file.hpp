#pragma once

#include <filesystem>
#include <string_view>
#include <utility>

#include "knap/base/result.hpp"

namespace knap::models::runner {

/// A regular file mapped into memory, read-only.
class MappedFile {
 public:
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MappedFile();

  /// Errors: kNotFound, kIo; kCorruptData when it is empty or no regular file.
  static Result<MappedFile> open(const std::filesystem::path& file);

  /// Begins at a page, and stays in place when this is moved.
  std::string_view bytes() const { return bytes_; }

 private:
  std::string_view bytes_;
};

}  // namespace knap::models::runner
