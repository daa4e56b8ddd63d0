#include "sign_rows.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "kernels.hpp"
#include "knap/base/assert.hpp"

namespace knap::search {
namespace {

constexpr std::size_t kWordBits = 64;
/// Values of the query go from -kLargest to kLargest, in steps of one, half of one beside 0.
constexpr float kLargest = 7.5F;
constexpr std::size_t kRowsAtOnce = 64;
static_assert(kRowsAtOnce % kSignBlock == 0);

std::size_t words_of(std::size_t dimensions) { return (dimensions + kWordBits - 1) / kWordBits; }

}  // namespace

SignRows::SignRows(std::uint32_t rows, std::uint32_t dimensions)
    : words_(words_of(dimensions)), codes_(rows * words_), spreads_(rows) {
  KNAP_ASSERT(rows % kSignBlock == 0);
}

std::uint64_t SignRows::bytes(std::uint32_t rows, std::uint32_t dimensions) {
  return rows * (words_of(dimensions) * sizeof(std::uint64_t) + sizeof(float));
}

void SignRows::set(std::uint32_t row, std::span<const std::int8_t> values) {
  std::uint64_t* codes = codes_.data() + row / kSignBlock * words_ * kSignBlock + row % kSignBlock;
  std::int64_t squares = 0, magnitudes = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    squares += values[i] * values[i];
    magnitudes += std::abs(values[i]);
    if (values[i] > 0) codes[i / kWordBits * kSignBlock] |= std::uint64_t{1} << (i % kWordBits);
  }
  if (magnitudes > 0)
    spreads_[row] = std::sqrt(static_cast<float>(squares)) / static_cast<float>(magnitudes);
}

SignQuery::SignQuery(std::span<const float> query) {
  const std::size_t words = words_of(query.size());
  planes_.resize(kSignPlanes * words);
  float largest = 0, norm = 0;
  for (const float value : query) {
    if (!std::isfinite(value)) continue;
    largest = std::max(largest, std::abs(value));
    norm += value * value;
  }
  if (largest <= 0 || !std::isfinite(norm)) return;
  const float step = largest / kLargest;
  for (std::size_t i = 0; i < query.size(); ++i) {
    const float value = std::isfinite(query[i]) ? query[i] : 0;
    const long rounded = std::clamp(std::lround(value / step + kLargest), 0L, 15L);
    offset_ += static_cast<float>(rounded) - kLargest;
    for (std::size_t p = 0; p < kSignPlanes; ++p) {
      if ((rounded >> p & 1) != 0)
        planes_[p * words + i / kWordBits] |= std::uint64_t{1} << (i % kWordBits);
    }
  }
  scale_ = step / std::sqrt(norm);
}

void SignQuery::estimate(const SignRows& rows, std::span<float> out) const {
  KNAP_ASSERT(planes_.size() == rows.words_ * kSignPlanes && out.size() <= rows.spreads_.size());
  std::array<std::int32_t, kRowsAtOnce> sums{};
  // Of a block that is not full the rest may just be written: it is not read.
  std::vector<std::uint64_t> last;
  for (std::size_t first = 0; first < out.size(); first += kRowsAtOnce) {
    const std::size_t count = std::min(kRowsAtOnce, out.size() - first);
    const std::size_t whole = count / kSignBlock * kSignBlock;
    const std::uint64_t* codes = rows.codes_.data() + first * rows.words_;
    sign_sums(planes_, codes, std::span(sums).first(whole));
    if (whole < count) {
      last.assign(rows.words_ * kSignBlock, 0);
      for (std::size_t w = 0; w < rows.words_; ++w) {
        const std::size_t from = whole * rows.words_ + w * kSignBlock;
        std::copy_n(codes + from, count - whole,
                    last.begin() + static_cast<std::ptrdiff_t>(w * kSignBlock));
      }
      sign_sums(planes_, last.data(), std::span(sums).subspan(whole, kSignBlock));
    }
    for (std::size_t i = 0; i < count; ++i)
      out[first + i] = (static_cast<float>(sums[i]) - offset_) * scale_ * rows.spreads_[first + i];
  }
}

}  // namespace knap::search
