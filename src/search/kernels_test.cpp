#include "kernels.hpp"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

namespace knap::search {
namespace {

std::vector<std::int8_t> random_bytes(std::mt19937& random, std::size_t count) {
  std::uniform_int_distribution<int> values(-127, 127);
  std::vector<std::int8_t> out(count);
  for (auto& value : out) value = static_cast<std::int8_t>(values(random));
  return out;
}

TEST(Kernels, EachInstructionSetEqualsTheScalarVersion) {
  std::mt19937 random(7);
  const auto targets = kernel_targets();
  ASSERT_FALSE(targets.empty());
  for (const std::size_t dimensions : {1U, 3U, 31U, 64U, 100U, 128U, 384U, 385U, 768U, 1024U}) {
    const auto query = random_bytes(random, dimensions);
    const auto rows = random_bytes(random, dimensions * 9);
    std::vector<std::int32_t> expected(9), got(9);
    dot_rows_scalar(query, rows.data(), expected);
    for (const std::int64_t target : targets) {
      dot_rows_on(target, query, rows.data(), got);
      EXPECT_EQ(got, expected) << kernel_target_name(target) << " with " << dimensions
                               << " dimensions";
    }
  }
}

TEST(Kernels, SignSumsOfEachInstructionSetEqualTheScalarVersion) {
  std::mt19937_64 random(5);
  for (const std::size_t words : {1U, 2U, 6U, 7U, 12U, 16U}) {
    constexpr std::size_t kBlocks = 3;
    std::vector<std::uint64_t> planes(kSignPlanes * words), codes(words * kSignBlock * kBlocks);
    for (auto& word : planes) word = random();
    for (auto& word : codes) word = random();
    std::fill_n(codes.begin(), words * kSignBlock, ~std::uint64_t{0});
    std::vector<std::int32_t> expected(kBlocks * kSignBlock), got(expected.size());
    sign_sums_scalar(planes, codes.data(), expected);
    for (const std::int64_t target : kernel_targets()) {
      sign_sums_on(target, planes, codes.data(), got);
      EXPECT_EQ(got, expected) << kernel_target_name(target) << " with " << words << " words";
    }
    sign_sums(planes, codes.data(), got);
    EXPECT_EQ(got, expected);
  }
}

TEST(Kernels, ExtremesDoNotOverflow) {
  constexpr std::size_t kDimensions = 4096;
  for (const int sign : {-1, 1}) {
    const std::vector<std::int8_t> query(kDimensions, 127);
    const std::vector<std::int8_t> row(kDimensions, static_cast<std::int8_t>(127 * sign));
    for (const std::int64_t target : kernel_targets()) {
      std::int32_t got = 0;
      dot_rows_on(target, query, row.data(), {&got, 1});
      EXPECT_EQ(got, sign * 127 * 127 * static_cast<int>(kDimensions))
          << kernel_target_name(target);
    }
  }
}

TEST(Kernels, FloatRescoringMatchesThePlainSum) {
  std::mt19937 random(11);
  for (const std::size_t dimensions : {1U, 15U, 384U, 391U}) {
    const auto row = random_bytes(random, dimensions);
    std::vector<float> query(dimensions);
    double expected = 0;
    for (std::size_t i = 0; i < dimensions; ++i) {
      query[i] = static_cast<float>(i % 7) / 7.0F - 0.4F;
      expected += static_cast<double>(query[i]) * row[i];
    }
    EXPECT_NEAR(dot_float(query, row.data()), expected, 1e-2);
  }
}

}  // namespace
}  // namespace knap::search
