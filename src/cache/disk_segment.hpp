#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "disk_format.hpp"
#include "knap/base/file.hpp"
#include "knap/base/result.hpp"

namespace knap::cache {

/// One file of the disk cache: written from front to back, then sealed, then only read, and removed
/// whole. Values are not synced: what a power cut tears fails its checksum, and a cache may forget.
///
/// Threads: read() and sync() from any; append(), seal() and forget() by one.
class DiskSegment {
 public:
  /// Errors: kIo, kResourceExhausted.
  static Result<std::shared_ptr<DiskSegment>> create(const std::filesystem::path& folder,
                                                     const disk::SegmentHead& head);
  /// Opens a file that an earlier run left, sealed or not, and gives its records. What was torn at
  /// its end is cut off, and the list is written that was missing.
  /// Errors: kCorruptData (not a segment of this version), kIo.
  static Result<std::shared_ptr<DiskSegment>> open(const std::filesystem::path& file,
                                                   std::vector<disk::Listed>& records);

  std::uint64_t number() const { return head_.number; }
  std::uint64_t salt() const { return head_.salt; }
  std::uint64_t bytes() const { return end_.load(std::memory_order_relaxed); }
  /// Writes whole records at the end. Errors, after which nothing counts as written: kIo,
  /// kResourceExhausted.
  Status append(std::string_view records);
  /// Writes the list of all that is in it.
  Status seal(const std::vector<disk::Listed>& records);
  /// `bytes` from `offset`; fewer are an error. Errors: kIo, kCorruptData.
  Result<std::string> read(std::uint64_t offset, std::size_t bytes) const;
  /// The records of a sealed segment. Errors: kCorruptData, kIo.
  Result<std::vector<disk::Listed>> list() const;
  /// What was appended survives a power cut. Errors: kIo.
  Status sync() const;
  /// Removes the file; readers that hold the segment still read.
  void forget() const;

  static std::filesystem::path file_of(const std::filesystem::path& folder, std::uint64_t number);
  /// The number in a file's name; 0: not such a file.
  static std::uint64_t number_of(const std::filesystem::path& file);

 private:
  DiskSegment(std::filesystem::path file, const disk::SegmentHead& head, FileDescriptor descriptor,
              std::uint64_t end)
      : file_(std::move(file)), head_(head), descriptor_(std::move(descriptor)), end_(end) {}
  Status write_at(std::uint64_t offset, std::string_view bytes) const;

  const std::filesystem::path file_;
  disk::SegmentHead head_;  ///< Not changed once it is open.
  const FileDescriptor descriptor_;
  std::atomic<std::uint64_t> end_;
};

}  // namespace knap::cache
