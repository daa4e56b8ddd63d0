// One source, compiled once for each instruction set by foreach_target.h.
#include "runner/encoder_math.hpp"

#include <algorithm>
#include <cmath>

// Registers of a size unknown to the compiler cannot stand in arrays; NEON serves such machines.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "runner/encoder_math.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

HWY_BEFORE_NAMESPACE();
namespace knap::models::runner {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most 16 lanes, so that sizes that are multiples of 16 need no remainder.
using Floats = hn::CappedTag<float, 16>;

constexpr std::size_t kTile = 4;    // rows that share each load
constexpr float kNowhere = -1e30F;  // the score of a place behind the text's end
constexpr float kTiny = 1e-20F;     // the scale of a group of zeros

float sum_of(Floats d, hn::Vec<Floats> v) { return hn::GetLane(hn::SumOfLanes(d, v)); }

using Bytes = hn::Rebind<std::uint8_t, Floats>;

/// bytes = round(values * factor) + offset. Demoting saturates, so nothing wraps.
void to_bytes(const float* HWY_RESTRICT values, float factor, float offset,
              std::uint8_t* HWY_RESTRICT out) {
  const Floats d;
  const Bytes bytes;
  const auto factors = hn::Set(d, factor);
  const auto offsets = hn::Set(d, offset);
  for (std::size_t i = 0; i < kInt8Group; i += hn::Lanes(d)) {
    const auto scaled = hn::MulAdd(hn::LoadU(d, values + i), factors, offsets);
    hn::StoreU(hn::DemoteTo(bytes, hn::NearestInt(scaled)), bytes, out + i);
  }
}

void quantise_group(const float* HWY_RESTRICT values, std::uint8_t* HWY_RESTRICT out,
                    float* scale) {
  const Floats d;
  auto largest = hn::Zero(d);
  for (std::size_t i = 0; i < kInt8Group; i += hn::Lanes(d)) {
    largest = hn::Max(largest, hn::Abs(hn::LoadU(d, values + i)));
  }
  const float range = hn::GetLane(hn::MaxOfLanes(d, largest));
  constexpr float kZero = Int8Linear::kZero;
  *scale = range > kTiny ? range / (kZero - 1) : kTiny;
  to_bytes(values, 1.0F / *scale, kZero, out);
}

hn::Vec<Floats> gelu_of(Floats d, hn::Vec<Floats> x) {
  const auto near = hn::Clamp(x, hn::Set(d, -4.0F), hn::Set(d, 4.0F));
  const auto square = hn::Mul(near, near);
  auto odd = hn::Set(d, 2.2779486741342225e-08F);
  odd = hn::MulAdd(odd, square, hn::Set(d, -1.5985038999133394e-06F));
  odd = hn::MulAdd(odd, square, hn::Set(d, 4.795359564013779e-05F));
  odd = hn::MulAdd(odd, square, hn::Set(d, -0.0008139971178025007F));
  odd = hn::MulAdd(odd, square, hn::Set(d, 0.00877230055630207F));
  odd = hn::MulAdd(odd, square, hn::Set(d, -0.06457292288541794F));
  odd = hn::MulAdd(odd, square, hn::Set(d, 0.39788320660591125F));
  return hn::Mul(x, hn::MulAdd(near, odd, hn::Set(d, 0.5F)));
}

void quantise_gelu_group(const float* HWY_RESTRICT values, std::uint8_t* HWY_RESTRICT out,
                         float* scale) {
  const Floats d;
  HWY_ALIGN float active[kInt8Group];
  auto largest = hn::Zero(d);
  for (std::size_t i = 0; i < kInt8Group; i += hn::Lanes(d)) {
    const auto value = gelu_of(d, hn::LoadU(d, values + i));
    largest = hn::Max(largest, value);
    hn::Store(value, d, active + i);
  }
  constexpr float kLow = Int8Linear::kGeluLow;
  *scale = (hn::GetLane(hn::MaxOfLanes(d, largest)) - kLow) / 127.0F;
  const float factor = 1.0F / *scale;
  to_bytes(active, factor, -kLow * factor, out);
}

void quantise_rows_kernel(const float* values, std::size_t groups, std::uint8_t* out,
                          float* scale) {
  for (std::size_t g = 0; g < groups; ++g) {
    quantise_group(values + g * kInt8Group, out + g * kInt8Group, scale + g);
  }
}

void quantise_gelu_rows_kernel(const float* values, std::size_t groups, std::uint8_t* out,
                               float* scale) {
  for (std::size_t g = 0; g < groups; ++g) {
    quantise_gelu_group(values + g * kInt8Group, out + g * kInt8Group, scale + g);
  }
}

void layer_norm_kernel(float* HWY_RESTRICT row, std::size_t size, const float* HWY_RESTRICT gain,
                       const float* HWY_RESTRICT bias, float epsilon) {
  const Floats d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t whole = size / lanes * lanes;
  auto sums = hn::Zero(d);
  for (std::size_t i = 0; i < whole; i += lanes) sums = hn::Add(sums, hn::LoadU(d, row + i));
  float sum = sum_of(d, sums);
  for (std::size_t i = whole; i < size; ++i) sum += row[i];
  const float mean = sum / static_cast<float>(size);
  const auto means = hn::Set(d, mean);
  auto squares = hn::Zero(d);
  for (std::size_t i = 0; i < whole; i += lanes) {
    const auto off = hn::Sub(hn::LoadU(d, row + i), means);
    squares = hn::MulAdd(off, off, squares);
  }
  float square = sum_of(d, squares);
  for (std::size_t i = whole; i < size; ++i) square += (row[i] - mean) * (row[i] - mean);
  const float scale = 1.0F / std::sqrt(square / static_cast<float>(size) + epsilon);
  const auto scales = hn::Set(d, scale);
  for (std::size_t i = 0; i < whole; i += lanes) {
    const auto off = hn::Mul(hn::Sub(hn::LoadU(d, row + i), means), scales);
    hn::StoreU(hn::MulAdd(off, hn::LoadU(d, gain + i), hn::LoadU(d, bias + i)), d, row + i);
  }
  for (std::size_t i = whole; i < size; ++i) row[i] = (row[i] - mean) * scale * gain[i] + bias[i];
}

/// scores[r][j] = scale * (query row r times key column j), for two registers of columns at a time.
template <std::size_t rows>
void score_rows(const float* HWY_RESTRICT query, std::size_t stride, const float* HWY_RESTRICT keys,
                std::size_t columns, std::size_t head_size, float scale,
                float* HWY_RESTRICT scores) {
  const Floats d;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t j = 0; j < columns; j += 2 * lanes) {
    hn::Vec<Floats> left[rows], right[rows];
    for (std::size_t r = 0; r < rows; ++r) left[r] = right[r] = hn::Zero(d);
    for (std::size_t k = 0; k < head_size; ++k) {
      const auto first = hn::LoadU(d, keys + k * columns + j);
      const auto second = hn::LoadU(d, keys + k * columns + j + lanes);
      for (std::size_t r = 0; r < rows; ++r) {
        const auto value = hn::Set(d, query[r * stride + k]);
        left[r] = hn::MulAdd(value, first, left[r]);
        right[r] = hn::MulAdd(value, second, right[r]);
      }
    }
    const auto factor = hn::Set(d, scale);
    for (std::size_t r = 0; r < rows; ++r) {
      hn::StoreU(hn::Mul(left[r], factor), d, scores + r * columns + j);
      hn::StoreU(hn::Mul(right[r], factor), d, scores + r * columns + j + lanes);
    }
  }
}

/// Turns a row of scores into exp(score - largest); returns their sum.
float exponentials(float* HWY_RESTRICT scores, std::size_t tokens, std::size_t columns) {
  const Floats d;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t j = tokens; j < columns; ++j) scores[j] = kNowhere;
  auto largest = hn::Set(d, kNowhere);
  for (std::size_t j = 0; j < columns; j += lanes) {
    largest = hn::Max(largest, hn::LoadU(d, scores + j));
  }
  largest = hn::MaxOfLanes(d, largest);
  auto sum = hn::Zero(d);
  for (std::size_t j = 0; j < columns; j += lanes) {
    const auto value = hn::Exp(d, hn::Sub(hn::LoadU(d, scores + j), largest));
    hn::StoreU(value, d, scores + j);
    sum = hn::Add(sum, value);
  }
  return sum_of(d, sum);
}

/// out[r][..] = factor[r] * sum over tokens of scores[r][token] * value[token][..].
template <std::size_t rows>
void mix(const float* HWY_RESTRICT scores, std::size_t columns, const float* HWY_RESTRICT values,
         std::size_t stride, std::size_t tokens, std::size_t head_size, const float* factor,
         float* HWY_RESTRICT out, std::size_t out_stride) {
  const Floats d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t step = std::min(2 * lanes, head_size);
  const std::size_t second_at = step - lanes;  // the same register twice in a head of one register
  for (std::size_t k = 0; k < head_size; k += step) {
    hn::Vec<Floats> left[rows], right[rows];
    for (std::size_t r = 0; r < rows; ++r) left[r] = right[r] = hn::Zero(d);
    for (std::size_t t = 0; t < tokens; ++t) {
      const auto first = hn::LoadU(d, values + t * stride + k);
      const auto second = hn::LoadU(d, values + t * stride + k + second_at);
      for (std::size_t r = 0; r < rows; ++r) {
        const auto weight = hn::Set(d, scores[r * columns + t]);
        left[r] = hn::MulAdd(weight, first, left[r]);
        right[r] = hn::MulAdd(weight, second, right[r]);
      }
    }
    for (std::size_t r = 0; r < rows; ++r) {
      const auto scale = hn::Set(d, factor[r]);
      hn::StoreU(hn::Mul(left[r], scale), d, out + r * out_stride + k);
      hn::StoreU(hn::Mul(right[r], scale), d, out + r * out_stride + k + second_at);
    }
  }
}

struct Head {
  const float* query;
  const float* values;
  std::size_t stride, tokens, columns, size, out_stride;
  float scale;
  const float* keys;
  float* scores;
  float* out;
};

template <std::size_t rows>
void attend_rows(const Head& head, std::size_t first) {
  score_rows<rows>(head.query + first * head.stride, head.stride, head.keys, head.columns,
                   head.size, head.scale, head.scores);
  float factor[rows];
  for (std::size_t r = 0; r < rows; ++r) {
    factor[r] = 1.0F / exponentials(head.scores + r * head.columns, head.tokens, head.columns);
  }
  mix<rows>(head.scores, head.columns, head.values, head.stride, head.tokens, head.size, factor,
            head.out + first * head.out_stride, head.out_stride);
}

void attend_kernel(const float* joined, std::size_t tokens, std::size_t heads,
                   std::size_t head_size, float* out, AttentionSpace& space) {
  const Floats d;
  const std::size_t tile = 2 * hn::Lanes(d);
  const std::size_t hidden = heads * head_size;
  const std::size_t columns = (tokens + tile - 1) / tile * tile;
  space.keys.assign(head_size * columns, 0.0F);  // behind the end: zeros
  space.scores.resize(kTile * columns);
  for (std::size_t h = 0; h < heads; ++h) {
    const float* query = joined + h * head_size;
    const float* keys = query + hidden;
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t k = 0; k < head_size; ++k) {
        space.keys[k * columns + t] = keys[t * 3 * hidden + k];
      }
    }
    const Head head{query,
                    keys + hidden,
                    3 * hidden,
                    tokens,
                    columns,
                    head_size,
                    hidden,
                    1.0F / std::sqrt(static_cast<float>(head_size)),
                    space.keys.data(),
                    space.scores.data(),
                    out + h * head_size};
    std::size_t row = 0;
    for (; row + kTile <= tokens; row += kTile) attend_rows<kTile>(head, row);
    for (; row < tokens; ++row) attend_rows<1>(head, row);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace knap::models::runner
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace knap::models::runner {

HWY_EXPORT(quantise_rows_kernel);
HWY_EXPORT(quantise_gelu_rows_kernel);
HWY_EXPORT(layer_norm_kernel);
HWY_EXPORT(attend_kernel);

void quantise_rows(const float* values, std::size_t count, ByteRows& rows) {
  HWY_DYNAMIC_DISPATCH(quantise_rows_kernel)
  (values, count * rows.groups(), rows.values.data(), rows.scale.data());
}

void quantise_gelu_rows(const float* values, std::size_t count, ByteRows& rows) {
  HWY_DYNAMIC_DISPATCH(quantise_gelu_rows_kernel)
  (values, count * rows.groups(), rows.values.data(), rows.scale.data());
}

void layer_norm(std::span<float> row, std::span<const float> gain, std::span<const float> bias,
                float epsilon) {
  HWY_DYNAMIC_DISPATCH(layer_norm_kernel)
  (row.data(), row.size(), gain.data(), bias.data(), epsilon);
}

void attend(const float* joined, std::size_t tokens, std::size_t heads, std::size_t head_size,
            float* out, AttentionSpace& space) {
  HWY_DYNAMIC_DISPATCH(attend_kernel)(joined, tokens, heads, head_size, out, space);
}

std::vector<std::int64_t> math_targets() { return hwy::SupportedAndGeneratedTargets(); }

std::string math_target_name(std::int64_t target) { return hwy::TargetName(target); }

void use_math_target(std::int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace knap::models::runner
#endif
