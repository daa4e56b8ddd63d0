#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"

namespace knap::models::runner {

/// Element types that Knap reads as floats; kOther ones (integers, f64) are only checked and passed
/// over.
enum class TensorType { kF32, kF16, kBf16, kOther };

/// Where one tensor stands in the file. Its bytes are checked against type, shape and file length.
struct TensorEntry {
  TensorType type = TensorType::kF32;
  std::vector<std::size_t> shape;
  std::size_t begin = 0;  ///< From the start of the file.
  std::size_t bytes = 0;
};

/// Reads the header of a safetensors file: 8 bytes little-endian length, JSON, then the data.
/// Hostile input: every length is checked before use. @param file_bytes length of the whole file.
/// Errors: kCorruptData (says which tensor), kResourceExhausted (limits).
Result<std::map<std::string, TensorEntry, std::less<>>> parse_safetensors_header(
    std::string_view head, std::uint64_t file_bytes);

/// A safetensors file mapped into memory. Threads: const and safe.
class Safetensors {
 public:
  Safetensors(const Safetensors&) = delete;
  Safetensors& operator=(const Safetensors&) = delete;
  ~Safetensors();

  static Result<std::unique_ptr<Safetensors>> open(const std::filesystem::path& file);

  /// The tensor as floats, widened when it is stored narrower. Errors: kCorruptData when it is
  /// absent or has another shape than `shape`; kUnsupported when it holds no floats.
  Result<std::vector<float>> read(std::string_view name, std::span<const std::size_t> shape) const;

  /// The floats in place, without a copy, for tensors too large to hold twice. Valid while this
  /// lives. Errors: as read(); kUnsupported when they are not F32 or not aligned: read() then.
  Result<std::span<const float>> map(std::string_view name,
                                     std::span<const std::size_t> shape) const;

  const std::map<std::string, TensorEntry, std::less<>>& tensors() const { return tensors_; }

 private:
  Safetensors() = default;
  Result<const TensorEntry*> find(std::string_view name, std::span<const std::size_t> shape) const;

  std::string file_;
  const char* data_ = nullptr;
  std::size_t bytes_ = 0;
  std::map<std::string, TensorEntry, std::less<>> tensors_;
};

}  // namespace knap::models::runner
