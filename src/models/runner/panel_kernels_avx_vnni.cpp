#include "runner/panel_kernels.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#define KNAP_VNNI256 __attribute__((target("avx2,fma,avxvnni")))

namespace knap::models::runner {
namespace {

constexpr float kTiny = 1e-20F;
constexpr std::size_t kStep = kPanelRows * kPanelFours;  // bytes of a panel for four inputs

float scale_for(float largest) { return largest > kTiny ? largest / 127.0F : kTiny; }

KNAP_VNNI256 inline float largest_of(const float* values, std::size_t count) {
  const __m256 no_sign = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
  __m256 largest = _mm256_setzero_ps();
  for (std::size_t i = 0; i < count; i += 8)
    largest = _mm256_max_ps(largest, _mm256_and_ps(no_sign, _mm256_loadu_ps(values + i)));
  alignas(32) float lanes[8];
  _mm256_store_ps(lanes, largest);
  return *std::max_element(lanes, lanes + 8);
}

/// 32 values times `factor`, rounded, as bytes with a sign.
KNAP_VNNI256 inline __m256i to_bytes(const float* values, __m256 factor) {
  const auto eight = [&](std::size_t i) KNAP_VNNI256 {
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(values + i), factor));
  };
  const __m256i pairs = _mm256_packs_epi16(_mm256_packs_epi32(eight(0), eight(8)),
                                           _mm256_packs_epi32(eight(16), eight(24)));
  // Packing works in halves of the register: fours come out as 0 2 4 6 1 3 5 7.
  return _mm256_permutevar8x32_epi32(pairs, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

KNAP_VNNI256 void quantise(const float* values, const TokenRows& rows, std::size_t row) {
  const std::size_t groups = rows.columns / rows.group;
  for (std::size_t g = 0; g < groups; ++g) {
    const float* from = values + g * rows.group;
    std::int8_t* to = rows.value + row * rows.columns + g * rows.group;
    const float scale = scale_for(largest_of(from, rows.group));
    const __m256 factor = _mm256_set1_ps(1.0F / scale);
    __m256i sums = _mm256_setzero_si256();
    for (std::size_t i = 0; i < rows.group; i += 32) {
      const __m256i bytes = to_bytes(from + i, factor);
      sums = _mm256_dpbusd_avx_epi32(sums, _mm256_set1_epi8(1), bytes);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), bytes);
    }
    alignas(32) std::int32_t lanes[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), sums);
    std::int32_t sum = 0;
    for (const std::int32_t lane : lanes) sum += lane;
    rows.scale[row * groups + g] = scale;
    rows.start[row * groups + g] = -128 * sum;
  }
}

std::int16_t rounded(float value) {
  // What is no number, as a damaged file's scales may give, becomes the least.
  return static_cast<std::int16_t>(
      std::fmin(std::fmax(std::nearbyint(value), -32'768.0F), 32'767.0F));
}

KNAP_VNNI256 void pack_levels(const RowLevels& levels, const Panel& panel, std::size_t output) {
  constexpr std::size_t kRunsMax = kGroupMax / 16;
  const std::size_t runs = panel.group / levels.run;
  std::uint8_t* to = panel.row + output * panel.columns;
  const std::int8_t* level = levels.level.data();
  for (std::size_t g = 0; g * panel.group < panel.columns; ++g) {
    const float* scales = levels.scale.data() + g * runs;
    const float* offsets = levels.has_offsets ? levels.offset.data() + g * runs : nullptr;
    float largest = 0;
    for (std::size_t r = 0; r < runs; ++r) {
      const float offset = offsets != nullptr ? offsets[r] : 0.0F;
      largest = std::max({largest, std::abs(scales[r] * levels.low + offset),
                          std::abs(scales[r] * levels.high + offset)});
    }
    const float scale = scale_for(largest), factor = (1 << kPackBits) / scale;
    panel.scale[g * kPanelRows + output] = scale;
    // Half a unit to round, and 128 units that make the byte one without a sign. What wraps in
    // between comes back: the sum is within 16 bits.
    constexpr std::uint16_t kBias = (1 << (kPackBits - 1)) + (128 << kPackBits);
    std::int16_t a[kRunsMax], b[kRunsMax];
    for (std::size_t r = 0; r < runs; ++r) {
      a[r] = rounded(scales[r] * factor);
      const std::int16_t offset =
          offsets != nullptr ? rounded(offsets[r] * factor) : std::int16_t{0};
      b[r] = static_cast<std::int16_t>(static_cast<std::uint16_t>(offset) + kBias);
    }
    for (std::size_t i = 0; i < panel.group; i += 32, level += 32, to += 32) {
      const auto sixteen = [&](std::size_t at) KNAP_VNNI256 {
        const std::size_t run = (i + at) / levels.run;
        const __m256i value =
            _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(level + at)));
        return _mm256_srli_epi16(
            _mm256_add_epi16(_mm256_mullo_epi16(value, _mm256_set1_epi16(a[run])),
                             _mm256_set1_epi16(b[run])),
            kPackBits);
      };
      const __m256i bytes =
          _mm256_permute4x64_epi64(_mm256_packus_epi16(sixteen(0), sixteen(16)), 0xD8);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bytes);
    }
  }
}

KNAP_VNNI256 void pack_values(const RowValues& values, const Panel& panel, std::size_t output) {
  for (std::size_t begin = 0; begin < panel.columns; begin += panel.group) {
    const float* from = values.value.data() + begin;
    const float scale = scale_for(largest_of(from, panel.group));
    const __m256 factor = _mm256_set1_ps(1.0F / scale);
    std::uint8_t* to = panel.row + output * panel.columns + begin;
    for (std::size_t i = 0; i < panel.group; i += 32) {
      _mm256_storeu_si256(
          reinterpret_cast<__m256i*>(to + i),
          _mm256_xor_si256(to_bytes(from + i, factor), _mm256_set1_epi8(static_cast<char>(0x80))));
    }
    panel.scale[begin / panel.group * kPanelRows + output] = scale;
  }
}

/// 8 rows of 8 times four bytes become 8 times those of all rows.
KNAP_VNNI256 inline void transpose(__m256i (&r)[8]) {
  __m256i t[8];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
  }
#pragma GCC unroll 2
  for (std::size_t i = 0; i < 8; i += 4) {
    r[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 4
  for (std::size_t j = 0; j < 4; ++j) {
    t[j] = _mm256_permute2x128_si256(r[j], r[4 + j], 0x20);
    t[4 + j] = _mm256_permute2x128_si256(r[j], r[4 + j], 0x31);
  }
#pragma GCC unroll 8
  for (std::size_t j = 0; j < 8; ++j) r[j] = t[j];
}

KNAP_VNNI256 void weave(const Panel& panel) {
  for (std::size_t c = 0; c < panel.columns; c += 32) {
    for (std::size_t first = 0; first < kPanelRows; first += 8) {
      __m256i rows[8];
#pragma GCC unroll 8
      for (std::size_t o = 0; o < 8; ++o) {
        rows[o] = _mm256_loadu_si256(
            reinterpret_cast<const __m256i*>(panel.row + (first + o) * panel.columns + c));
      }
      transpose(rows);
      std::uint8_t* to = panel.byte + c * kPanelRows + first * kPanelFours;
#pragma GCC unroll 8
      for (std::size_t i = 0; i < 8; ++i)
        _mm256_store_si256(reinterpret_cast<__m256i*>(to + i * kStep), rows[i]);
    }
  }
}

// Written out for the reason that panel_kernels_avx512.cpp gives.
KNAP_VNNI256 inline void add_products(__m256i& sums, __m256i weights, __m256i values) {
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sums) : "x"(weights), "x"(values));
}

// Tokens that share each load of weights: 12 registers of sums, two of weights, one of values.
constexpr std::size_t kTokens = 6;
constexpr std::size_t kOutputs = 16;  // at once

template <std::size_t tokens>
KNAP_VNNI256 void multiply_tokens(const Panel& panel, const TokenRows& rows, std::size_t first,
                                  std::size_t output, float* out, std::size_t stride) {
  const std::size_t groups = panel.columns / panel.group;
  const std::int8_t* value = rows.value + first * rows.columns;
  const float* value_scale = rows.scale + first * groups;
  const std::int32_t* start = rows.start + first * groups;
  alignas(32) float totals[tokens][kOutputs] = {};
  const std::uint8_t* weights = panel.byte + output * kPanelFours;
  for (std::size_t g = 0; g < groups; ++g) {
    __m256i sums[tokens][2];
#pragma GCC unroll 6
    for (std::size_t t = 0; t < tokens; ++t)
      sums[t][0] = sums[t][1] = _mm256_set1_epi32(start[t * groups + g]);
    const std::uint8_t* end = weights + panel.group * kPanelRows;
    for (; weights != end; weights += kStep, value += kPanelFours) {
      const __m256i w0 = _mm256_load_si256(reinterpret_cast<const __m256i*>(weights));
      const __m256i w1 = _mm256_load_si256(reinterpret_cast<const __m256i*>(weights + 32));
#pragma GCC unroll 6
      for (std::size_t t = 0; t < tokens; ++t) {
        std::int32_t four = 0;
        std::memcpy(&four, value + t * rows.columns, sizeof four);
        const __m256i values = _mm256_set1_epi32(four);
        add_products(sums[t][0], w0, values);
        add_products(sums[t][1], w1, values);
      }
    }
    const __m256 s0 = _mm256_load_ps(panel.scale + g * kPanelRows + output);
    const __m256 s1 = _mm256_load_ps(panel.scale + g * kPanelRows + output + 8);
#pragma GCC unroll 6
    for (std::size_t t = 0; t < tokens; ++t) {
      const __m256 scale = _mm256_set1_ps(value_scale[t * groups + g]);
      float* total = totals[t];
      _mm256_store_ps(total, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t][0]),
                                             _mm256_mul_ps(s0, scale), _mm256_load_ps(total)));
      _mm256_store_ps(total + 8,
                      _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t][1]), _mm256_mul_ps(s1, scale),
                                      _mm256_load_ps(total + 8)));
    }
  }
  for (std::size_t t = 0; t < tokens; ++t)
    std::memcpy(out + t * stride, totals[t], sizeof totals[t]);
}

using Multiply = void (*)(const Panel&, const TokenRows&, std::size_t, std::size_t, float*,
                          std::size_t);

template <std::size_t... tokens>
constexpr std::array<Multiply, sizeof...(tokens)> by_tokens(std::index_sequence<tokens...>) {
  return {multiply_tokens<tokens + 1>...};
}

void multiply(const Panel& panel, const TokenRows& rows, std::size_t first, std::size_t count,
              float* out, std::size_t stride) {
  static constexpr auto kMultiply = by_tokens(std::make_index_sequence<kTokens>());
  for (std::size_t output = 0; output < kPanelRows; output += kOutputs) {
    for (std::size_t t = 0; t < count; t += kTokens) {
      kMultiply[std::min(kTokens, count - t) - 1](panel, rows, first + t, output,
                                                  out + t * stride + output, stride);
    }
  }
}

// GCC 12 knows no name for it: leaf 7, sub-leaf 1, bit 4 of eax. AVX2 says that the system keeps
// the registers.
bool has_avx_vnni() {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return false;
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4 & 1) != 0;
}

}  // namespace

const PanelKernels* avx_vnni_panel_kernels() {
  static constexpr PanelKernels kernels{"avxvnni",   quantise, pack_levels,
                                        pack_values, weave,    multiply};
  return has_avx_vnni() ? &kernels : nullptr;
}

}  // namespace knap::models::runner

#else

namespace knap::models::runner {
const PanelKernels* avx_vnni_panel_kernels() { return nullptr; }
}  // namespace knap::models::runner

#endif
