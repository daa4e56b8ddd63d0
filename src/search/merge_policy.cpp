#include "merge_policy.hpp"

#include <algorithm>
#include <array>

namespace knap::search {
namespace {

constexpr std::uint64_t kFirstTierUnits = 64;

std::uint32_t tier_of(const SegmentView& view) {
  std::uint32_t tier = 0;
  for (std::uint64_t limit = kFirstTierUnits; tier + 1 < kMergeTiers && view.live_units >= limit;
       limit *= 4)
    ++tier;
  return tier;
}

bool half_deleted(const SegmentView& view) {
  const std::uint32_t total = view.segment->unit_count() - view.segment->note_count();
  return view.live_units < total / 2 && total >= kFirstTierUnits;
}

std::uint64_t bytes_of(const SegmentView& view) {
  return view.segment->postings.size() + view.segment->positions.size() +
         view.segment->term_texts.size();
}

}  // namespace

std::vector<SegmentView> choose_merge(const std::vector<SegmentView>& segments,
                                      std::uint64_t units_max) {
  const auto allowed = [&](const std::vector<SegmentView>& chosen) {
    std::uint64_t units = 0, bytes = 0;
    for (const SegmentView& view : chosen) {
      units += view.segment->unit_count();
      bytes += bytes_of(view);
    }
    return bytes <= kMergedBytesMax && (units_max == 0 || units <= units_max);
  };
  std::array<std::vector<SegmentView>, kMergeTiers> tiers;
  for (const SegmentView& view : segments) {
    if (half_deleted(view) && allowed({view})) return {view};
    auto& tier = tiers[tier_of(view)];
    tier.push_back(view);
    if (tier.size() == kMergeWidth && allowed(tier)) return tier;
    if (tier.size() == kMergeWidth) tier.erase(tier.begin());
  }
  return {};
}

std::vector<SegmentView> choose_quiet_merge(const std::vector<SegmentView>& segments) {
  if (segments.size() <= kQuietSegments) return {};
  std::vector<std::uint64_t> sizes;
  for (const SegmentView& view : segments) sizes.push_back(bytes_of(view));
  std::sort(sizes.begin(), sizes.end());
  // The smaller ones, as many as may be merged: those up to `size_max`.
  std::uint64_t sum = 0, size_max = 0;
  std::size_t count = 0;
  for (const std::uint64_t size : sizes) {
    const bool largest = count + 1 == sizes.size();
    if (sum + size > kQuietBytesMax || (largest && sum * 4 < size)) break;
    sum += size;
    size_max = size;
    ++count;
  }
  if (count < 2) return {};
  std::vector<SegmentView> chosen;
  for (const SegmentView& view : segments)
    if (bytes_of(view) <= size_max && chosen.size() < count) chosen.push_back(view);
  return chosen;
}

}  // namespace knap::search
