#include "runner/panel_kernels.hpp"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes its own _mm512_undefined() for a mistake of ours (its bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstring>

#define KNAP_VNNI512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")))

namespace knap::models::runner {
namespace {

constexpr float kTiny = 1e-20F;
constexpr std::size_t kStep = kPanelRows * kPanelFours;  // bytes of a panel for four inputs

KNAP_VNNI512 inline float scale_for(__m512 largest) {
  const float value = _mm512_reduce_max_ps(largest);
  return value > kTiny ? value / 127.0F : kTiny;
}

KNAP_VNNI512 void quantise(const float* values, const TokenRows& rows, std::size_t row) {
  const std::size_t groups = rows.columns / rows.group;
  for (std::size_t g = 0; g < groups; ++g) {
    const float* from = values + g * rows.group;
    std::int8_t* to = rows.value + row * rows.columns + g * rows.group;
    __m512 largest = _mm512_setzero_ps();
    for (std::size_t i = 0; i < rows.group; i += 16)
      largest = _mm512_max_ps(largest, _mm512_abs_ps(_mm512_loadu_ps(from + i)));
    const float scale = scale_for(largest);
    const __m512 factor = _mm512_set1_ps(1.0F / scale);
    __m512i sum = _mm512_setzero_si512();
    for (std::size_t i = 0; i < rows.group; i += 16) {
      const __m128i bytes = _mm512_cvtsepi32_epi8(
          _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(from + i), factor)));
      sum = _mm512_add_epi32(sum, _mm512_cvtepi8_epi32(bytes));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), bytes);
    }
    rows.scale[row * groups + g] = scale;
    rows.start[row * groups + g] = -128 * _mm512_reduce_add_epi32(sum);
  }
}

KNAP_VNNI512 inline void store_plus_128(__m512 value, std::uint8_t* to) {
  const __m128i bytes = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(value));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                   _mm_xor_si128(bytes, _mm_set1_epi8(static_cast<char>(0x80))));
}

KNAP_VNNI512 void pack_levels(const RowLevels& levels, const Panel& panel, std::size_t output) {
  const std::size_t runs = panel.group / levels.run;
  const auto mask = static_cast<__mmask16>((1U << runs) - 1);  // at most 16 runs of a group
  const __m512 low = _mm512_set1_ps(levels.low), high = _mm512_set1_ps(levels.high);
  std::uint8_t* to = panel.row + output * panel.columns;
  const std::int8_t* level = levels.level.data();
  for (std::size_t g = 0; g * panel.group < panel.columns; ++g) {
    const __m512 scales = _mm512_maskz_loadu_ps(mask, levels.scale.data() + g * runs);
    const __m512 offsets = levels.has_offsets
                               ? _mm512_maskz_loadu_ps(mask, levels.offset.data() + g * runs)
                               : _mm512_setzero_ps();
    const float scale =
        scale_for(_mm512_max_ps(_mm512_abs_ps(_mm512_fmadd_ps(scales, low, offsets)),
                                _mm512_abs_ps(_mm512_fmadd_ps(scales, high, offsets))));
    panel.scale[g * kPanelRows + output] = scale;
    const __m512 factor = _mm512_set1_ps((1 << kPackBits) / scale);
    alignas(32) std::int16_t a[16], b[16];
    _mm256_store_si256(reinterpret_cast<__m256i*>(a),
                       _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(_mm512_mul_ps(scales, factor))));
    _mm256_store_si256(reinterpret_cast<__m256i*>(b),
                       _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(_mm512_mul_ps(offsets, factor))));
    // Half a unit to round, and 128 units that make the byte one without a sign. What wraps in
    // between comes back: the sum is within 16 bits.
    constexpr auto kBias = static_cast<std::int16_t>(
        static_cast<std::uint16_t>((1 << (kPackBits - 1)) + (128 << kPackBits)));
    const __m512i bias = _mm512_set1_epi16(kBias);
    for (std::size_t i = 0; i < panel.group; i += 32, level += 32, to += 32) {
      const std::size_t first = i / levels.run, second = (i + 16) / levels.run;
      const auto of_runs = [&](const std::int16_t* values) KNAP_VNNI512 {
        return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_set1_epi16(values[first])),
                                  _mm256_set1_epi16(values[second]), 1);
      };
      const __m512i value =
          _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(level)));
      const __m512i sum = _mm512_add_epi16(_mm512_mullo_epi16(value, of_runs(a)),
                                           _mm512_add_epi16(of_runs(b), bias));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                          _mm512_cvtepi16_epi8(_mm512_srli_epi16(sum, kPackBits)));
    }
  }
}

KNAP_VNNI512 void pack_values(const RowValues& values, const Panel& panel, std::size_t output) {
  for (std::size_t begin = 0; begin < panel.columns; begin += panel.group) {
    const float* from = values.value.data() + begin;
    __m512 largest = _mm512_setzero_ps();
    for (std::size_t i = 0; i < panel.group; i += 16)
      largest = _mm512_max_ps(largest, _mm512_abs_ps(_mm512_loadu_ps(from + i)));
    const float scale = scale_for(largest);
    const __m512 factor = _mm512_set1_ps(1.0F / scale);
    for (std::size_t i = 0; i < panel.group; i += 16) {
      store_plus_128(_mm512_mul_ps(_mm512_loadu_ps(from + i), factor),
                     panel.row + output * panel.columns + begin + i);
    }
    panel.scale[begin / panel.group * kPanelRows + output] = scale;
  }
}

/// 16 rows of 16 times four bytes become 16 times those of all rows.
KNAP_VNNI512 inline void transpose(__m512i (&r)[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (std::size_t i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (std::size_t i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  // r[4 k + j] has, in each quarter q, the fours number 4 q + j of the rows 4 k to 4 k + 3.
#pragma GCC unroll 4
  for (std::size_t j = 0; j < 4; ++j) {
    t[j] = _mm512_shuffle_i32x4(r[j], r[4 + j], 0x88);
    t[4 + j] = _mm512_shuffle_i32x4(r[j], r[4 + j], 0xdd);
    t[8 + j] = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0x88);
    t[12 + j] = _mm512_shuffle_i32x4(r[8 + j], r[12 + j], 0xdd);
  }
#pragma GCC unroll 4
  for (std::size_t j = 0; j < 4; ++j) {
    r[j] = _mm512_shuffle_i32x4(t[j], t[8 + j], 0x88);
    r[8 + j] = _mm512_shuffle_i32x4(t[j], t[8 + j], 0xdd);
    r[4 + j] = _mm512_shuffle_i32x4(t[4 + j], t[12 + j], 0x88);
    r[12 + j] = _mm512_shuffle_i32x4(t[4 + j], t[12 + j], 0xdd);
  }
}

KNAP_VNNI512 void weave(const Panel& panel) {
  // The last step may be short: columns are a multiple of 32.
  for (std::size_t c = 0; c < panel.columns; c += 64) {
    const std::size_t left = std::min<std::size_t>(64, panel.columns - c);
    const __mmask16 mask = left == 64 ? 0xFFFF : 0x00FF;
    for (std::size_t half = 0; half < kPanelRows; half += 16) {
      __m512i rows[16];
#pragma GCC unroll 16
      for (std::size_t o = 0; o < 16; ++o) {
        rows[o] = _mm512_maskz_loadu_epi32(mask, panel.row + (half + o) * panel.columns + c);
      }
      transpose(rows);
      std::uint8_t* to = panel.byte + c * kPanelRows + half * kPanelFours;
#pragma GCC unroll 16
      for (std::size_t i = 0; i < 16; ++i)
        if (i * kPanelFours < left) _mm512_store_si512(to + i * kStep, rows[i]);
    }
  }
}

// Adds four products to each of 16 sums. Written out because GCC 12 copies the sums around the
// intrinsic, half of the inner loop's time: reading prompts with Qwen 1.5B went from 250 to 390
// tokens a second.
KNAP_VNNI512 inline void add_products(__m512i& sums, __m512i weights, __m512i values) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(weights), "v"(values));
}

// Tokens that share each load of weights: 24 registers of sums, two of weights, one of values.
constexpr std::size_t kTokens = 12;

template <std::size_t tokens>
KNAP_VNNI512 void multiply_tokens(const Panel& panel, const TokenRows& rows, std::size_t first,
                                  float* out, std::size_t stride) {
  const std::size_t groups = panel.columns / panel.group;
  const std::int8_t* value = rows.value + first * rows.columns;
  const float* value_scale = rows.scale + first * groups;
  const std::int32_t* start = rows.start + first * groups;
  alignas(64) float totals[tokens][kPanelRows] = {};
  const std::uint8_t* weights = panel.byte;
  for (std::size_t g = 0; g < groups; ++g) {
    __m512i sums[tokens][2];
#pragma GCC unroll 12
    for (std::size_t t = 0; t < tokens; ++t)
      sums[t][0] = sums[t][1] = _mm512_set1_epi32(start[t * groups + g]);
    const std::uint8_t* end = weights + panel.group * kPanelRows;
    for (; weights != end; weights += kStep, value += kPanelFours) {
      const __m512i w0 = _mm512_load_si512(weights), w1 = _mm512_load_si512(weights + 64);
#pragma GCC unroll 12
      for (std::size_t t = 0; t < tokens; ++t) {
        std::int32_t four = 0;
        std::memcpy(&four, value + t * rows.columns, sizeof four);
        const __m512i values = _mm512_set1_epi32(four);
        add_products(sums[t][0], w0, values);
        add_products(sums[t][1], w1, values);
      }
    }
    const __m512 s0 = _mm512_load_ps(panel.scale + g * kPanelRows);
    const __m512 s1 = _mm512_load_ps(panel.scale + g * kPanelRows + 16);
#pragma GCC unroll 12
    for (std::size_t t = 0; t < tokens; ++t) {
      const __m512 scale = _mm512_set1_ps(value_scale[t * groups + g]);
      float* total = totals[t];
      _mm512_store_ps(total, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[t][0]),
                                             _mm512_mul_ps(s0, scale), _mm512_load_ps(total)));
      _mm512_store_ps(total + 16,
                      _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[t][1]), _mm512_mul_ps(s1, scale),
                                      _mm512_load_ps(total + 16)));
    }
  }
  for (std::size_t t = 0; t < tokens; ++t)
    std::memcpy(out + t * stride, totals[t], sizeof totals[t]);
}

using Multiply = void (*)(const Panel&, const TokenRows&, std::size_t, float*, std::size_t);

template <std::size_t... tokens>
constexpr std::array<Multiply, sizeof...(tokens)> by_tokens(std::index_sequence<tokens...>) {
  return {multiply_tokens<tokens + 1>...};
}

void multiply(const Panel& panel, const TokenRows& rows, std::size_t first, std::size_t count,
              float* out, std::size_t stride) {
  static constexpr auto kMultiply = by_tokens(std::make_index_sequence<kTokens>());
  for (std::size_t t = 0; t < count; t += kTokens)
    kMultiply[std::min(kTokens, count - t) - 1](panel, rows, first + t, out + t * stride, stride);
}

bool has_vnni512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
}

}  // namespace

const PanelKernels* avx512_panel_kernels() {
  static constexpr PanelKernels kernels{"avx512vnni", quantise, pack_levels,
                                        pack_values,  weave,    multiply};
  return has_vnni512() ? &kernels : nullptr;
}

}  // namespace knap::models::runner

#else

namespace knap::models::runner {
const PanelKernels* avx512_panel_kernels() { return nullptr; }
}  // namespace knap::models::runner

#endif
