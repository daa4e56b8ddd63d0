// Apart from kernels_hwy.cpp because Highway 1.0 compiles its VNNI target, the first with bit
// counts of whole registers, with AVX-VNNI, which machines with AVX-512 VNNI (Ice Lake, Zen 4)
// lack: the program could meet an unknown instruction there.
#include "kernels_vnni.hpp"

#include "kernels.hpp"

#include "knap/base/assert.hpp"

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes its own _mm512_undefined() for a mistake of ours (its bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#define KNAP_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#define KNAP_VPOPCNT __attribute__((target("avx512f,avx512vl,avx512vpopcntdq")))

namespace knap::search {
namespace {

KNAP_VNNI inline __m512i unsigned_bytes(__m512i row) {
  return _mm512_xor_si512(row, _mm512_set1_epi8(static_cast<char>(-128)));
}

/// VNNI multiplies unsigned by signed bytes: flipping a row's top bits adds 128 to each value, and
/// 128 * sum(query) is taken off at the end. Plain equivalent: dot_rows_scalar.
KNAP_VNNI void dot_rows_512(const std::int8_t* query, std::size_t dimensions,
                            const std::int8_t* rows, std::int32_t* out, std::size_t count) {
  const std::size_t whole = dimensions / 64 * 64;
  const __mmask64 rest =
      dimensions == whole ? 0 : (~std::uint64_t{0} >> (64 - (dimensions - whole)));
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < dimensions; ++i) sum += query[i];
  for (std::size_t r = 0; r < count; ++r) {
    const std::int8_t* row = rows + r * dimensions;
    __m512i even = _mm512_setzero_si512(), odd = _mm512_setzero_si512();
    std::size_t i = 0;
    for (; i + 128 <= whole; i += 128) {
      even = _mm512_dpbusd_epi32(even, unsigned_bytes(_mm512_loadu_si512(row + i)),
                                 _mm512_loadu_si512(query + i));
      odd = _mm512_dpbusd_epi32(odd, unsigned_bytes(_mm512_loadu_si512(row + i + 64)),
                                _mm512_loadu_si512(query + i + 64));
    }
    if (i < whole) {
      even = _mm512_dpbusd_epi32(even, unsigned_bytes(_mm512_loadu_si512(row + i)),
                                 _mm512_loadu_si512(query + i));
    }
    if (rest != 0) {
      odd = _mm512_dpbusd_epi32(odd, unsigned_bytes(_mm512_maskz_loadu_epi8(rest, row + whole)),
                                _mm512_maskz_loadu_epi8(rest, query + whole));
    }
    out[r] = _mm512_reduce_add_epi32(_mm512_add_epi32(even, odd)) - 128 * sum;
  }
}

/// A lane for each row of a block. Plain equivalent: sign_sums_scalar.
KNAP_VPOPCNT void sign_sums_512(const std::uint64_t* planes, std::size_t words,
                                const std::uint64_t* codes, std::int32_t* out, std::size_t blocks) {
  static_assert(kSignBlock == 8 && kSignPlanes == 4);
  for (std::size_t b = 0; b < blocks; ++b) {
    __m512i ones = _mm512_setzero_si512(), low = ones, high = ones;
    for (std::size_t w = 0; w < words; ++w) {
      const __m512i bits = _mm512_loadu_si512(codes + (b * words + w) * kSignBlock);
      const auto count = [&](std::size_t plane) KNAP_VPOPCNT {
        const auto word = static_cast<long long>(planes[plane * words + w]);
        return _mm512_popcnt_epi64(_mm512_and_si512(bits, _mm512_set1_epi64(word)));
      };
      ones = _mm512_add_epi64(ones, _mm512_popcnt_epi64(bits));
      low = _mm512_add_epi64(low, _mm512_add_epi64(count(0), _mm512_slli_epi64(count(1), 1)));
      high = _mm512_add_epi64(high, _mm512_add_epi64(count(2), _mm512_slli_epi64(count(3), 1)));
    }
    const __m512i sum = _mm512_add_epi64(low, _mm512_slli_epi64(high, 2));
    const __m512i less = _mm512_sub_epi64(_mm512_slli_epi64(ones, 4), ones);
    const __m256i lanes = _mm512_cvtepi64_epi32(_mm512_sub_epi64(_mm512_slli_epi64(sum, 1), less));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + b * kSignBlock), lanes);
  }
}

}  // namespace

bool has_vnni() {
  return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
         __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512vnni") != 0;
}

void dot_rows_vnni(std::span<const std::int8_t> query, const std::int8_t* rows,
                   std::span<std::int32_t> out) {
  dot_rows_512(query.data(), query.size(), rows, out.data(), out.size());
}

bool has_vpopcnt() {
  return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
         __builtin_cpu_supports("avx512vpopcntdq") != 0;
}

void sign_sums_vpopcnt(std::span<const std::uint64_t> planes, const std::uint64_t* codes,
                       std::span<std::int32_t> out) {
  sign_sums_512(planes.data(), planes.size() / kSignPlanes, codes, out.data(),
                out.size() / kSignBlock);
}

}  // namespace knap::search

#else

namespace knap::search {

bool has_vnni() { return false; }

void dot_rows_vnni(std::span<const std::int8_t>, const std::int8_t*, std::span<std::int32_t>) {
  KNAP_ASSERT(false && "called without has_vnni()");
}

bool has_vpopcnt() { return false; }

void sign_sums_vpopcnt(std::span<const std::uint64_t>, const std::uint64_t*,
                       std::span<std::int32_t>) {
  KNAP_ASSERT(false && "called without has_vpopcnt()");
}

}  // namespace knap::search
#endif
