// One source, compiled once for each instruction set by foreach_target.h.
#include "kernels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels_hwy.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace knap::search {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_AVX3_DL
// VNNI multiplies unsigned by signed bytes: rows are shifted to unsigned by flipping their top bit,
// which adds 128 to each value, and 128 * sum(query) is taken off at the end. Plain equivalent:
// dot_rows_scalar.
void DotRows(const std::int8_t* query, std::size_t dimensions, const std::int8_t* rows,
             std::int32_t* out, std::size_t count) {
  const std::size_t whole = dimensions / 64 * 64;
  const __mmask64 rest =
      dimensions == whole ? 0 : (~std::uint64_t{0} >> (64 - (dimensions - whole)));
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(-128));
  std::int32_t sum = 0;
  for (std::size_t i = 0; i < dimensions; ++i) sum += query[i];
  for (std::size_t r = 0; r < count; ++r) {
    const std::int8_t* row = rows + r * dimensions;
    __m512i even = _mm512_setzero_si512(), odd = _mm512_setzero_si512();
    std::size_t i = 0;
    for (; i + 128 <= whole; i += 128) {
      even = _mm512_dpbusd_epi32(even, _mm512_xor_si512(_mm512_loadu_si512(row + i), flip),
                                 _mm512_loadu_si512(query + i));
      odd = _mm512_dpbusd_epi32(odd, _mm512_xor_si512(_mm512_loadu_si512(row + i + 64), flip),
                                _mm512_loadu_si512(query + i + 64));
    }
    for (; i < whole; i += 64)
      even = _mm512_dpbusd_epi32(even, _mm512_xor_si512(_mm512_loadu_si512(row + i), flip),
                                 _mm512_loadu_si512(query + i));
    if (rest != 0)
      odd = _mm512_dpbusd_epi32(odd, _mm512_xor_si512(_mm512_maskz_loadu_epi8(rest, row + i), flip),
                                _mm512_maskz_loadu_epi8(rest, query + i));
    out[r] = _mm512_reduce_add_epi32(_mm512_add_epi32(even, odd)) - 128 * sum;
  }
}
#else
void DotRows(const std::int8_t* query, std::size_t dimensions, const std::int8_t* rows,
             std::int32_t* out, std::size_t count) {
  const hn::ScalableTag<std::int16_t> wide;
  const hn::Rebind<std::int8_t, decltype(wide)> narrow;
  const hn::RepartitionToWide<decltype(wide)> sums;
  const std::size_t lanes = hn::Lanes(wide);
  const std::size_t whole = dimensions / lanes * lanes;
  for (std::size_t r = 0; r < count; ++r) {
    const std::int8_t* row = rows + r * dimensions;
    auto first = hn::Zero(sums);
    auto second = hn::Zero(sums);
    for (std::size_t i = 0; i < whole; i += lanes) {
      const auto a = hn::PromoteTo(wide, hn::LoadU(narrow, row + i));
      const auto b = hn::PromoteTo(wide, hn::LoadU(narrow, query + i));
      first = hn::ReorderWidenMulAccumulate(sums, a, b, first, second);
    }
    std::int32_t total = hn::GetLane(hn::SumOfLanes(sums, hn::Add(first, second)));
    for (std::size_t i = whole; i < dimensions; ++i) total += row[i] * query[i];
    out[r] = total;
  }
}
#endif

float DotFloat(const float* query, std::size_t dimensions, const std::int8_t* row) {
  const hn::ScalableTag<float> floats;
  const hn::Rebind<std::int8_t, decltype(floats)> narrow;
  const hn::Rebind<std::int32_t, decltype(floats)> wide;
  const std::size_t lanes = hn::Lanes(floats);
  const std::size_t whole = dimensions / lanes * lanes;
  auto sum = hn::Zero(floats);
  for (std::size_t i = 0; i < whole; i += lanes) {
    const auto value = hn::ConvertTo(floats, hn::PromoteTo(wide, hn::LoadU(narrow, row + i)));
    sum = hn::MulAdd(value, hn::LoadU(floats, query + i), sum);
  }
  float total = hn::GetLane(hn::SumOfLanes(floats, sum));
  for (std::size_t i = whole; i < dimensions; ++i) total += static_cast<float>(row[i]) * query[i];
  return total;
}

}  // namespace HWY_NAMESPACE
}  // namespace knap::search
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace knap::search {

HWY_EXPORT(DotRows);
HWY_EXPORT(DotFloat);

void dot_rows(std::span<const std::int8_t> query, const std::int8_t* rows,
              std::span<std::int32_t> out) {
  HWY_DYNAMIC_DISPATCH(DotRows)(query.data(), query.size(), rows, out.data(), out.size());
}

float dot_float(std::span<const float> query, const std::int8_t* row) {
  return HWY_DYNAMIC_DISPATCH(DotFloat)(query.data(), query.size(), row);
}

void dot_rows_scalar(std::span<const std::int8_t> query, const std::int8_t* rows,
                     std::span<std::int32_t> out) {
  for (std::size_t r = 0; r < out.size(); ++r) {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < query.size(); ++i) sum += rows[r * query.size() + i] * query[i];
    out[r] = sum;
  }
}

std::vector<std::int64_t> kernel_targets() { return hwy::SupportedAndGeneratedTargets(); }
std::string kernel_target_name(std::int64_t target) { return hwy::TargetName(target); }

void dot_rows_on(std::int64_t target, std::span<const std::int8_t> query, const std::int8_t* rows,
                 std::span<std::int32_t> out) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  dot_rows(query, rows, out);
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace knap::search
#endif
