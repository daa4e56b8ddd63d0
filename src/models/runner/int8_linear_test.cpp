#include "runner/int8_linear.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "runner/encoder_math.hpp"

namespace knap::models::runner {
namespace {

LinearWeights random_linear(std::mt19937& random, std::size_t out, std::size_t in) {
  std::normal_distribution<float> values(0, 0.05F);
  LinearWeights linear{out, in, std::vector<float>(out * in), std::vector<float>(out)};
  for (float& value : linear.weights) value = values(random);
  for (float& value : linear.bias) value = values(random);
  return linear;
}

std::vector<float> exact_product(const LinearWeights& linear, const std::vector<float>& rows,
                                 std::size_t count) {
  std::vector<float> out(count * linear.out);
  for (std::size_t r = 0; r < count; ++r) {
    for (std::size_t o = 0; o < linear.out; ++o) {
      double sum = linear.bias[o];
      for (std::size_t i = 0; i < linear.in; ++i) {
        sum += static_cast<double>(rows[r * linear.in + i]) * linear.weights[o * linear.in + i];
      }
      out[r * linear.out + o] = static_cast<float>(sum);
    }
  }
  return out;
}

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double dot = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    dot += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return dot / std::sqrt(aa * bb);
}

TEST(Int8Linear, TheVectorKernelEqualsTheScalarOne) {
  if (!has_avx2()) GTEST_SKIP() << "no AVX2 here";
  std::mt19937 random(5);
  std::uniform_int_distribution<int> bytes(0, 127);
  for (const std::size_t in : {128U, 384U, 1536U}) {
    const auto linear = random_linear(random, 48, in);
    for (const auto input : {Int8Linear::Input::kSigned, Int8Linear::Input::kGelu}) {
      const auto packed = Int8Linear::make(linear, input);
      ASSERT_TRUE(packed) << packed.error().message;
      for (std::size_t count = 1; count <= 9; ++count) {
        ByteRows rows{in, {}, {}};
        rows.resize(count);
        for (auto& value : rows.values) value = static_cast<std::uint8_t>(bytes(random));
        for (auto& scale : rows.scale) scale = 0.01F * static_cast<float>(1 + bytes(random));
        for (const auto mode : {Int8Linear::Mode::kReplace, Int8Linear::Mode::kAdd}) {
          std::vector<float> scalar(count * 48, 1.5F), vector = scalar;
          packed->multiply_on("scalar", rows, count, mode, scalar.data());
          packed->multiply_on("avx2", rows, count, mode, vector.data());
          for (std::size_t i = 0; i < scalar.size(); ++i) {
            // The sums of a group are equal; only the order of float operations differs.
            ASSERT_NEAR(vector[i], scalar[i], 1e-4 * (1 + std::fabs(scalar[i])))
                << in << " inputs, " << count << " rows, value " << i;
          }
        }
      }
    }
  }
}

TEST(Int8Linear, TheLargestValuesDoNotSaturate) {
  for (const float sign : {-1.0F, 1.0F}) {
    const LinearWeights linear{16, 128, std::vector<float>(std::size_t{16} * 128, sign),
                               std::vector<float>(16)};
    const auto packed = Int8Linear::make(linear, Int8Linear::Input::kGelu);
    ASSERT_TRUE(packed);
    ByteRows rows{128, {}, {}};
    rows.resize(4);
    std::ranges::fill(rows.values, std::uint8_t{127});
    std::ranges::fill(rows.scale, 1.0F);
    const float expected = sign * 128 * (127 + Int8Linear::kGeluLow);
    std::vector<float> out(std::size_t{4} * 16);
    for (const char* kernel : {"scalar", "avx2"}) {
      if (std::string_view(kernel) == "avx2" && !has_avx2()) continue;
      packed->multiply_on(kernel, rows, 4, Int8Linear::Mode::kReplace, out.data());
      for (const float value : out) EXPECT_NEAR(value, expected, 0.05) << kernel;
    }
  }
}

TEST(Int8Linear, StaysNearTheExactProduct) {
  std::mt19937 random(6);
  std::normal_distribution<float> normal;
  const auto linear = random_linear(random, 64, 384);
  std::vector<float> values(std::size_t{10} * 384);
  for (float& value : values) value = normal(random);
  values[7] = 25;  // an outlier costs its own group precision, not the whole row
  const auto packed = Int8Linear::make(linear, Int8Linear::Input::kSigned);
  ASSERT_TRUE(packed);
  ByteRows rows{384, {}, {}};
  rows.resize(10);
  quantise_rows(values.data(), 10, rows);
  std::vector<float> out(std::size_t{10} * 64);
  packed->multiply(rows, 10, Int8Linear::Mode::kReplace, out.data());
  EXPECT_GT(cosine(out, exact_product(linear, values, 10)), .999);
}

TEST(Int8Linear, GeluGoesInWithTheRows) {
  std::mt19937 random(8);
  std::normal_distribution<float> normal(0, 1.5F);
  const auto linear = random_linear(random, 32, 256);
  std::vector<float> values(std::size_t{6} * 256), active;
  for (float& value : values) value = normal(random);
  for (const float x : values) active.push_back(0.5F * x * (1 + std::erf(x / std::sqrt(2.0F))));
  const auto packed = Int8Linear::make(linear, Int8Linear::Input::kGelu);
  ASSERT_TRUE(packed);
  ByteRows rows{256, {}, {}};
  rows.resize(6);
  quantise_gelu_rows(values.data(), 6, rows);
  std::vector<float> out(std::size_t{6} * 32);
  packed->multiply(rows, 6, Int8Linear::Mode::kReplace, out.data());
  EXPECT_GT(cosine(out, exact_product(linear, active, 6)), .999);
}

TEST(Int8Linear, RefusesWhatItCannotPack) {
  EXPECT_EQ(Int8Linear::make({16, 100, std::vector<float>(1600), std::vector<float>(16)},
                             Int8Linear::Input::kSigned)
                .error()
                .code,
            ErrorCode::kUnsupported);
  LinearWeights broken{16, 128, std::vector<float>(2048), std::vector<float>(16)};
  EXPECT_TRUE(Int8Linear::make(broken, Int8Linear::Input::kSigned)) << "zeros are weights too";
  broken.weights[9] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(Int8Linear::make(broken, Int8Linear::Input::kSigned).error().code,
            ErrorCode::kCorruptData);
}

}  // namespace
}  // namespace knap::models::runner
