#include "runner/encoder_math.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace knap::models::runner {
namespace {

/// Runs each test body on every instruction set that is compiled in and present.
class EncoderMath : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { use_math_target(GetParam()); }
  void TearDown() override { use_math_target(0); }

  std::vector<float> random_values(std::size_t count, float deviation = 1) {
    std::normal_distribution<float> normal(0, deviation);
    std::vector<float> values(count);
    for (float& value : values) value = normal(random_);
    return values;
  }
  std::mt19937 random_{3};
};

TEST_P(EncoderMath, BytesGiveTheValuesBack) {
  auto values = random_values(2 * kInt8Group, 3);
  std::fill_n(values.begin() + kInt8Group, kInt8Group, 0.0F);  // a group of zeros
  ByteRows rows{2 * kInt8Group, {}, {}};
  rows.resize(1);
  quantise_rows(values.data(), 1, rows);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float scale = rows.scale[i / kInt8Group];
    EXPECT_NEAR(scale * (rows.values[i] - Int8Linear::kZero), values[i], scale * 0.51F) << i;
    EXPECT_LE(rows.values[i], 127);
  }
}

TEST_P(EncoderMath, GeluIsTheErrorFunctionsOne) {
  std::vector<float> values;
  for (int i = 0; i < 3 * static_cast<int>(kInt8Group); ++i)
    values.push_back(static_cast<float>(i - 192) / 16);
  ByteRows rows{values.size(), {}, {}};
  rows.resize(1);
  quantise_gelu_rows(values.data(), 1, rows);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float scale = rows.scale[i / kInt8Group];
    const float expected = 0.5F * values[i] * (1 + std::erf(values[i] / std::sqrt(2.0F)));
    EXPECT_NEAR(scale * rows.values[i] + Int8Linear::kGeluLow, expected, scale * 0.51F + 3e-4F)
        << values[i];
  }
}

TEST_P(EncoderMath, LayerNormHasMeanAndVarianceOfItsWeights) {
  for (const std::size_t size : {16U, 384U, 391U}) {
    auto row = random_values(size, 4);
    const auto gain = random_values(size), bias = random_values(size);
    double mean = 0, square = 0;
    for (const float value : row) mean += value;
    mean /= static_cast<double>(size);
    for (const float value : row) square += (value - mean) * (value - mean);
    const double scale = 1 / std::sqrt(square / static_cast<double>(size) + 1e-5);
    auto expected = row;
    for (std::size_t i = 0; i < size; ++i)
      expected[i] = static_cast<float>((row[i] - mean) * scale * gain[i] + bias[i]);
    layer_norm(row, gain, bias, 1e-5F);
    for (std::size_t i = 0; i < size; ++i) EXPECT_NEAR(row[i], expected[i], 1e-4) << size;
  }
}

TEST_P(EncoderMath, AttentionIsTheSoftmaxOfProducts) {
  for (const std::size_t head_size : {16U, 32U, 64U}) {
    for (const std::size_t tokens : {1U, 3U, 16U, 37U}) {
      constexpr std::size_t kHeads = 2;
      const std::size_t hidden = kHeads * head_size;
      const auto joined = random_values(tokens * 3 * hidden);
      std::vector<float> out(tokens * hidden);
      AttentionSpace space;
      attend(joined.data(), tokens, kHeads, head_size, out.data(), space);
      for (std::size_t t = 0; t < tokens; ++t) {
        for (std::size_t h = 0; h < kHeads; ++h) {
          const float* query = joined.data() + t * 3 * hidden + h * head_size;
          std::vector<double> weights(tokens);
          double sum = 0;
          for (std::size_t s = 0; s < tokens; ++s) {
            const float* key = joined.data() + s * 3 * hidden + hidden + h * head_size;
            double dot = 0;
            for (std::size_t k = 0; k < head_size; ++k) dot += query[k] * key[k];
            weights[s] = std::exp(dot / std::sqrt(static_cast<double>(head_size)));
            sum += weights[s];
          }
          for (std::size_t k = 0; k < head_size; ++k) {
            double expected = 0;
            for (std::size_t s = 0; s < tokens; ++s) {
              expected +=
                  weights[s] / sum * joined[s * 3 * hidden + 2 * hidden + h * head_size + k];
            }
            EXPECT_NEAR(out[t * hidden + h * head_size + k], expected, 2e-5);
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, EncoderMath, testing::ValuesIn(math_targets()),
                         [](const auto& each) { return math_target_name(each.param); });

}  // namespace
}  // namespace knap::models::runner
