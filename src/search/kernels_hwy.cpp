// One source, compiled once for each instruction set by foreach_target.h.
#include <bit>

#include "kernels.hpp"
#include "kernels_vnni.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels_hwy.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace knap::search {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

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

void SignSums(const std::uint64_t* planes, std::size_t words, const std::uint64_t* codes,
              std::int32_t* out, std::size_t blocks) {
  static_assert(kSignPlanes == 4);
  const hn::CappedTag<std::uint64_t, kSignBlock> lanes;
  std::uint64_t sums[kSignBlock], ones[kSignBlock];
  for (std::size_t b = 0; b < blocks; ++b) {
    for (std::size_t r = 0; r < kSignBlock; r += hn::Lanes(lanes)) {
      auto count = hn::Zero(lanes), low = count, high = count;
      for (std::size_t w = 0; w < words; ++w) {
        const auto bits = hn::LoadU(lanes, codes + (b * words + w) * kSignBlock + r);
        const auto both = [&](std::size_t plane) {
          const auto one =
              hn::PopulationCount(hn::And(bits, hn::Set(lanes, planes[plane * words + w])));
          const auto two =
              hn::PopulationCount(hn::And(bits, hn::Set(lanes, planes[(plane + 1) * words + w])));
          return hn::Add(one, hn::Add(two, two));
        };
        count = hn::Add(count, hn::PopulationCount(bits));
        low = hn::Add(low, both(0));
        high = hn::Add(high, both(2));
      }
      hn::StoreU(hn::Add(low, hn::ShiftLeft<2>(high)), lanes, sums + r);
      hn::StoreU(count, lanes, ones + r);
    }
    for (std::size_t r = 0; r < kSignBlock; ++r)
      out[b * kSignBlock + r] =
          static_cast<std::int32_t>(2 * sums[r]) - static_cast<std::int32_t>(15 * ones[r]);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace knap::search
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace knap::search {

HWY_EXPORT(DotRows);
HWY_EXPORT(DotFloat);
HWY_EXPORT(SignSums);

void dot_rows(std::span<const std::int8_t> query, const std::int8_t* rows,
              std::span<std::int32_t> out) {
  static const bool kVnni = has_vnni();
  if (kVnni) {
    dot_rows_vnni(query, rows, out);
  } else {
    HWY_DYNAMIC_DISPATCH(DotRows)(query.data(), query.size(), rows, out.data(), out.size());
  }
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

void sign_sums(std::span<const std::uint64_t> planes, const std::uint64_t* codes,
               std::span<std::int32_t> out) {
  static const bool kCounts = has_vpopcnt();
  if (kCounts) {
    sign_sums_vpopcnt(planes, codes, out);
  } else {
    HWY_DYNAMIC_DISPATCH(SignSums)
    (planes.data(), planes.size() / kSignPlanes, codes, out.data(), out.size() / kSignBlock);
  }
}

void sign_sums_scalar(std::span<const std::uint64_t> planes, const std::uint64_t* codes,
                      std::span<std::int32_t> out) {
  const std::size_t words = planes.size() / kSignPlanes;
  for (std::size_t r = 0; r < out.size(); ++r) {
    const std::uint64_t* row = codes + r / kSignBlock * words * kSignBlock + r % kSignBlock;
    std::int32_t sum = 0;
    for (std::size_t w = 0; w < words; ++w) {
      const std::uint64_t bits = row[w * kSignBlock];
      sum -= 15 * std::popcount(bits);
      for (std::size_t p = 0; p < kSignPlanes; ++p)
        sum += 2 * (std::popcount(bits & planes[p * words + w]) << p);
    }
    out[r] = sum;
  }
}

namespace {
/// VNNI is no target of Highway's; its targets are single bits.
constexpr std::int64_t kVnniTarget = 0;
}  // namespace

std::vector<std::int64_t> kernel_targets() {
  std::vector<std::int64_t> targets = hwy::SupportedAndGeneratedTargets();
  if (has_vnni()) targets.push_back(kVnniTarget);
  return targets;
}

std::string kernel_target_name(std::int64_t target) {
  return target == kVnniTarget ? "AVX512-VNNI" : hwy::TargetName(target);
}

void dot_rows_on(std::int64_t target, std::span<const std::int8_t> query, const std::int8_t* rows,
                 std::span<std::int32_t> out) {
  if (target == kVnniTarget) return dot_rows_vnni(query, rows, out);
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  HWY_DYNAMIC_DISPATCH(DotRows)(query.data(), query.size(), rows, out.data(), out.size());
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

void sign_sums_on(std::int64_t target, std::span<const std::uint64_t> planes,
                  const std::uint64_t* codes, std::span<std::int32_t> out) {
  if (target == kVnniTarget)
    return has_vpopcnt() ? sign_sums_vpopcnt(planes, codes, out)
                         : sign_sums_scalar(planes, codes, out);
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  HWY_DYNAMIC_DISPATCH(SignSums)
  (planes.data(), planes.size() / kSignPlanes, codes, out.data(), out.size() / kSignBlock);
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace knap::search
#endif
