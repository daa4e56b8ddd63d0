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
#include "runner/mapped_file.hpp"
#include "runner/tensor_source.hpp"

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
class Safetensors final : public TensorSource {
 public:
  static Result<std::unique_ptr<Safetensors>> open(const std::filesystem::path& file);

  Result<std::vector<float>> read(std::string_view name,
                                  std::span<const std::size_t> shape) const override;
  Result<Rows> rows(std::string_view name, std::span<const std::size_t> shape) const override;

  const std::map<std::string, TensorEntry, std::less<>>& tensors() const { return tensors_; }

 private:
  Safetensors() = default;
  Result<const TensorEntry*> find_floats(std::string_view name,
                                         std::span<const std::size_t> shape) const;

  std::string file_;
  MappedFile mapped_;
  std::map<std::string, TensorEntry, std::less<>> tensors_;
};

}  // namespace knap::models::runner
