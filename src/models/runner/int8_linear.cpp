#include "runner/int8_linear.hpp"

#include <algorithm>
#include <cmath>

#include "knap/base/assert.hpp"

namespace knap::models::runner {

Result<Int8Linear> Int8Linear::make(const LinearWeights& linear, Input input) {
  if (linear.out % kOutputs != 0 || linear.in % kInt8Group != 0 || linear.in == 0) {
    return make_error(ErrorCode::kUnsupported,
                      "the 8-bit kernels need layers of a multiple of 128 values");
  }
  KNAP_ASSERT(linear.weights.size() == linear.out * linear.in && linear.bias.size() == linear.out);
  const std::size_t groups = linear.in / kInt8Group;
  Int8Linear packed;
  packed.out_ = linear.out;
  packed.in_ = linear.in;
  packed.weights_.resize(linear.weights.size());
  packed.start_.resize(linear.out * groups);
  packed.scale_.resize(linear.out * groups);
  packed.bias_ = linear.bias;
  for (std::size_t o = 0; o < linear.out; ++o) {
    std::int8_t* block = packed.weights_.data() + o / kOutputs * kOutputs * linear.in;
    for (std::size_t g = 0; g < groups; ++g) {
      const float* from = linear.weights.data() + o * linear.in + g * kInt8Group;
      float largest = 0;
      for (std::size_t i = 0; i < kInt8Group; ++i) {
        if (!std::isfinite(from[i]))
          return make_error(ErrorCode::kCorruptData, "a weight of the model is no finite number");
        largest = std::max(largest, std::fabs(from[i]));
      }
      const float scale = largest > 0 ? largest / kWeightMax : 1.0F;
      std::int32_t sum = 0;
      for (std::size_t i = 0; i < kInt8Group; ++i) {
        const auto value = static_cast<std::int8_t>(
            std::clamp(std::lround(from[i] / scale), long{-kWeightMax}, long{kWeightMax}));
        const std::size_t column = g * kInt8Group + i;
        const std::size_t four = column / kInputs * kOutputs + o % kOutputs;
        block[four * kInputs + column % kInputs] = value;
        sum += value;
      }
      const std::size_t at = (o / kOutputs * groups + g) * kOutputs + o % kOutputs;
      packed.scale_[at] = scale;
      packed.start_[at] = input == Input::kSigned ? -kZero * sum : 0;
      // What every value of the function has in common reaches each output as a constant.
      if (input == Input::kGelu) packed.bias_[o] += kGeluLow * scale * static_cast<float>(sum);
    }
  }
  return packed;
}

void Int8Linear::multiply(const ByteRows& rows, std::size_t count, Mode mode, float* out) const {
  static const Kernel kBest = has_avx2() ? multiply_block_avx2 : multiply_block_scalar;
  run(kBest, rows, count, mode, out);
}

void Int8Linear::multiply_on(std::string_view kernel, const ByteRows& rows, std::size_t count,
                             Mode mode, float* out) const {
  KNAP_ASSERT(kernel == "avx2" || kernel == "scalar");
  run(kernel == "avx2" ? multiply_block_avx2 : multiply_block_scalar, rows, count, mode, out);
}

void Int8Linear::run(Kernel kernel, const ByteRows& rows, std::size_t count, Mode mode,
                     float* out) const {
  KNAP_ASSERT(rows.columns == in_ && count * in_ <= rows.values.size());
  const std::size_t groups = in_ / kInt8Group;
  // One block's weights (16 * in bytes) stay in the first-level cache while all rows pass by.
  for (std::size_t o = 0; o < out_; o += kOutputs) {
    kernel({.values = rows.values.data(),
            .row_scale = rows.scale.data(),
            .count = count,
            .columns = in_,
            .weights = weights_.data() + o * in_,
            .start = start_.data() + o * groups,
            .scale = scale_.data() + o * groups,
            .bias = bias_.data() + o,
            .add = mode == Mode::kAdd,
            .out = out + o,
            .stride = out_});
  }
}

void multiply_block_scalar(const Int8Task& task) {
  constexpr std::size_t kOutputs = Int8Linear::kOutputs;
  constexpr std::size_t kInputs = Int8Linear::kInputs;
  const std::size_t groups = task.columns / kInt8Group;
  for (std::size_t r = 0; r < task.count; ++r) {
    float totals[kOutputs];
    std::copy_n(task.bias, kOutputs, totals);
    for (std::size_t g = 0; g < groups; ++g) {
      std::int32_t sums[kOutputs];
      std::copy_n(task.start + g * kOutputs, kOutputs, sums);
      for (std::size_t i = g * kInt8Group; i < (g + 1) * kInt8Group; i += kInputs) {
        const std::uint8_t* values = task.values + r * task.columns + i;
        const std::int8_t* four = task.weights + i * kOutputs;
        for (std::size_t o = 0; o < kOutputs; ++o) {
          for (std::size_t k = 0; k < kInputs; ++k) sums[o] += values[k] * four[o * kInputs + k];
        }
      }
      for (std::size_t o = 0; o < kOutputs; ++o) {
        totals[o] += static_cast<float>(sums[o]) *
                     (task.row_scale[r * groups + g] * task.scale[g * kOutputs + o]);
      }
    }
    float* out = task.out + r * task.stride;
    for (std::size_t o = 0; o < kOutputs; ++o) out[o] = task.add ? out[o] + totals[o] : totals[o];
  }
}

}  // namespace knap::models::runner
