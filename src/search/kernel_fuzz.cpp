// The kernels of all instruction sets against the scalar one.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "kernels.hpp"
#include "knap/base/assert.hpp"

namespace {

using namespace knap::search;

/// The bytes as four planes and as many blocks of rows as there are.
void check_signs(std::span<const std::int8_t> bytes) {
  std::vector<std::uint64_t> words(bytes.size() / sizeof(std::uint64_t));
  if (words.empty()) return;
  std::memcpy(words.data(), bytes.data(), words.size() * sizeof(std::uint64_t));
  const std::size_t row = 1 + words.size() % 13;
  if (words.size() < row * (kSignPlanes + kSignBlock)) return;
  const auto planes = std::span(words).first(row * kSignPlanes);
  const auto codes = std::span(words).subspan(planes.size());
  std::vector<std::int32_t> expected(codes.size() / (row * kSignBlock) * kSignBlock);
  std::vector<std::int32_t> got(expected.size());
  sign_sums_scalar(planes, codes.data(), expected);
  for (const std::int64_t target : kernel_targets()) {
    sign_sums_on(target, planes, codes.data(), got);
    KNAP_ASSERT(got == expected);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const std::size_t dimensions =
      std::min<std::size_t>(1 + data[0] + std::size_t{data[1]} * 2, (size - 2) / 2);
  if (dimensions == 0) return 0;
  std::vector<std::int8_t> values(data + 2, data + size);
  // -128 is outside the contract: vectors are scaled to [-127, 127].
  for (std::int8_t& value : values) value = std::max<std::int8_t>(value, -127);
  const std::span<const std::int8_t> query(values.data(), dimensions);
  std::vector<std::int32_t> expected(values.size() / dimensions - 1), got(expected.size());
  dot_rows_scalar(query, values.data() + dimensions, expected);
  for (const std::int64_t target : kernel_targets()) {
    dot_rows_on(target, query, values.data() + dimensions, got);
    KNAP_ASSERT(got == expected);
  }
  check_signs({values.data(), values.size()});
  return 0;
}
