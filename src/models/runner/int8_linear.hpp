#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"
#include "runner/bert_weights.hpp"

/// Products of activations and weights in small integers, for processors with no instruction that
/// multiplies bytes into 32-bit sums (AVX2 without VNNI: most laptops before 2021, and many virtual
/// machines).
///
/// Activations take 0..127, weights -64..64, both with a scale for every 128 values of a row: the
/// sum of four products then fits 16 bits (4 * 127 * 64 = 32,512), so that two of AVX2's vpmaddubsw
/// are added before one vpmaddwd widens them. Quantising rows as they come ("dynamic quantisation")
/// follows Jacob et al. 2018, arXiv:1712.05877. Measured on MiniLM, cosine to float: scales for
/// rows of 384 and 1,536 .9947, for groups of 128 .9983, of 64 .9987.
namespace knap::models::runner {

/// Values that share one scale.
inline constexpr std::size_t kInt8Group = 128;

/// Rows of activations as bytes. Row r, column c: scale[r * groups() + c / kInt8Group] *
/// values[r * columns + c], plus what the kind of activation (Int8Linear::Input) adds.
struct ByteRows {
  std::size_t columns = 0;
  std::vector<std::uint8_t> values;
  std::vector<float> scale;

  std::size_t groups() const { return columns / kInt8Group; }
  void resize(std::size_t rows) {
    values.resize(rows * columns);
    scale.resize(rows * groups());
  }
};

/// A product of rows with weights, packed for the kernels: blocks of 16 outputs, in each the inputs
/// in fours ([out / 16][in / 4][16][4]).
class Int8Linear {
 public:
  static constexpr std::size_t kOutputs = 16;
  static constexpr std::size_t kInputs = 4;
  static constexpr int kWeightMax = 64;

  /// What the bytes of the rows mean. kSigned: 64 stands for zero. kGelu: 0 stands for kGeluLow,
  /// just below the least value of that function; no byte is spent on what it never gives.
  enum class Input { kSigned, kGelu };
  static constexpr std::int32_t kZero = 64;
  static constexpr float kGeluLow = -0.1703F;

  /// Errors: kUnsupported when `out` is no multiple of 16 or `in` none of kInt8Group; kCorruptData
  /// when a weight is no finite number.
  static Result<Int8Linear> make(const LinearWeights& linear, Input input);

  std::size_t out() const { return out_; }
  std::size_t in() const { return in_; }

  /// How results meet what stands in `out`.
  enum class Mode { kReplace, kAdd };

  /// out[r * out() + o] (+)= the product of row r with the weights of output o, plus its bias.
  /// @param rows  in() columns each, at least `count` rows
  /// @param out  count x out() values
  /// Threads: const and safe.
  void multiply(const ByteRows& rows, std::size_t count, Mode mode, float* out) const;

  /// The same on the named kernel: "avx2" (only where has_avx2()) or "scalar". For tests.
  void multiply_on(std::string_view kernel, const ByteRows& rows, std::size_t count, Mode mode,
                   float* out) const;

 private:
  using Kernel = void (*)(const struct Int8Task&);
  void run(Kernel kernel, const ByteRows& rows, std::size_t count, Mode mode, float* out) const;

  std::size_t out_ = 0, in_ = 0;
  std::vector<std::int8_t> weights_;
  std::vector<std::int32_t> start_;  ///< [out / 16][groups][16]: sums begin here: -zero * weights
  std::vector<float> scale_;         ///< [out / 16][groups][16]
  std::vector<float> bias_;
};

/// What a kernel computes: `count` rows with one block of 16 outputs.
struct Int8Task {
  const std::uint8_t* values;
  const float* row_scale;
  std::size_t count, columns;
  const std::int8_t* weights;
  const std::int32_t* start;
  const float* scale;
  const float* bias;
  bool add;
  float* out;          ///< the block's first output of the first row
  std::size_t stride;  ///< from one row to the next
};

bool has_avx2();
void multiply_block_avx2(const Int8Task& task);  ///< Only where has_avx2().
void multiply_block_scalar(const Int8Task& task);

}  // namespace knap::models::runner
