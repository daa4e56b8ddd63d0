#include "runner/batch_product.hpp"

#include <ggml.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <limits>
#include <random>

namespace knap::models::runner {
namespace {

struct Quantised {
  std::vector<std::byte> bytes;
  std::vector<float> exact;  ///< What the quantised weights stand for.
  WeightMatrix matrix;
};

Quantised quantised(ggml_type type, std::size_t rows, std::size_t columns, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> values(0, 0.05F);
  std::vector<float> weights(rows * columns);
  // Rows and runs of different sizes: each has a scale of its own.
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = values(random) * static_cast<float>(1 + i / 64 % 5) + 0.01F;
  Quantised out;
  const auto count = static_cast<std::int64_t>(columns);
  const std::size_t row_bytes = ggml_row_size(type, count);
  out.bytes.resize(rows * row_bytes);
  ggml_quantize_chunk(type, weights.data(), out.bytes.data(), 0, static_cast<std::int64_t>(rows),
                      count, nullptr);
  out.exact.resize(weights.size());
  for (std::size_t r = 0; r < rows; ++r) {
    ggml_get_type_traits(type)->to_float(out.bytes.data() + r * row_bytes,
                                         out.exact.data() + r * columns, count);
  }
  out.matrix = {.type = type, .columns = columns, .rows = rows, .data = out.bytes.data()};
  return out;
}

std::vector<float> activations(std::size_t count, std::size_t columns, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> values(0, 1);
  std::vector<float> out(count * columns);
  for (float& value : out) value = values(random);
  return out;
}

std::vector<float> exact_product(const Quantised& weights, const std::vector<float>& values,
                                 std::size_t count) {
  const auto& [type, columns, rows, data, woven] = weights.matrix;
  std::vector<float> out(count * rows);
  for (std::size_t t = 0; t < count; ++t) {
    for (std::size_t o = 0; o < rows; ++o) {
      double sum = 0;
      for (std::size_t c = 0; c < columns; ++c) {
        sum += static_cast<double>(weights.exact[o * columns + c]) * values[t * columns + c];
      }
      out[t * rows + o] = static_cast<float>(sum);
    }
  }
  return out;
}

/// Length of the difference over the length of `exact`.
double relative_error(const std::vector<float>& out, const std::vector<float>& exact) {
  double difference = 0, length = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    difference += std::pow(static_cast<double>(out[i]) - exact[i], 2);
    length += std::pow(static_cast<double>(exact[i]), 2);
  }
  return std::sqrt(difference / length);
}

std::vector<float> product(const PanelKernels& kernels, const WeightMatrix& weights,
                           const std::vector<float>& values, std::size_t count,
                           std::size_t threads = 1) {
  BatchProduct product(kernels);
  std::vector<float> out(count * weights.rows, std::numeric_limits<float>::quiet_NaN());
  product.multiply(weights, values.data(), count, threads, out.data());
  return out;
}

std::vector<ggml_type> quantised_types() {
  std::vector<ggml_type> out;
  for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
    const auto type = static_cast<ggml_type>(i);
    const auto* traits = ggml_get_type_traits(type);
    if (ggml_is_quantized(type) && ggml_blck_size(type) > 0 && traits->to_float != nullptr &&
        traits->from_float_ref != nullptr && !ggml_quantize_requires_imatrix(type))
      out.push_back(type);
  }
  return out;
}

TEST(BatchProduct, OfEveryTypeIsCloseToTheExactOne) {
  const auto types = quantised_types();
  ASSERT_GE(types.size(), 10U);
  for (const ggml_type type : types) {
    for (const std::size_t columns : {std::size_t{512}, std::size_t{576}, std::size_t{224}}) {
      if (columns % static_cast<std::size_t>(ggml_blck_size(type)) != 0) continue;
      const auto weights = quantised(type, 32, columns, 3);
      ASSERT_TRUE(BatchProduct::takes(weights.matrix)) << ggml_type_name(type);
      const auto values = activations(7, columns, 4);
      const auto exact = exact_product(weights, values, 7);
      // Activations in 8 bits: 0.7 % of rounding noise at 3 sigma of 127 steps; weights a bit more.
      EXPECT_LT(relative_error(product(scalar_panel_kernels(), weights.matrix, values, 7), exact),
                0.015)
          << ggml_type_name(type) << " " << columns;
    }
  }
}

TEST(BatchProduct, FastKernelsEqualTheScalarOnes) {
  if (fast_panel_kernels().empty()) GTEST_SKIP() << "this processor has none";
  for (const PanelKernels* kernels : fast_panel_kernels()) {
    for (const ggml_type type : {GGML_TYPE_Q4_K, GGML_TYPE_Q6_K, GGML_TYPE_Q8_0, GGML_TYPE_Q5_0,
                                 GGML_TYPE_Q4_1, GGML_TYPE_Q3_K}) {
      const auto weights = quantised(type, 64, 768, 5);
      for (std::size_t count = 1; count <= 26; ++count) {
        const auto values = activations(count, 768, static_cast<unsigned>(count));
        const auto scalar = product(scalar_panel_kernels(), weights.matrix, values, count);
        // Values half-way between two steps may be rounded to either.
        EXPECT_LT(relative_error(product(*kernels, weights.matrix, values, count), scalar), 2e-4)
            << kernels->name << " " << ggml_type_name(type) << " " << count;
      }
    }
  }
}

TEST(BatchProduct, ThreadsShareTheWork) {
  const auto weights = quantised(GGML_TYPE_Q8_0, 160, 256, 5);
  const auto values = activations(50, 256, 6);
  const auto one = product(scalar_panel_kernels(), weights.matrix, values, 50);
  for (const std::size_t threads : {2U, 3U, 9U})
    EXPECT_EQ(product(scalar_panel_kernels(), weights.matrix, values, 50, threads), one);
}

TEST(BatchProduct, ZerosAndHugeValuesStayNumbers) {
  auto kernels = std::vector<PanelKernels>{scalar_panel_kernels()};
  for (const PanelKernels* each : fast_panel_kernels()) kernels.push_back(*each);
  const auto weights = quantised(GGML_TYPE_Q4_K, 32, 256, 5);
  std::vector<float> values(512, 0.0F);
  for (std::size_t i = 256; i < 512; ++i) values[i] = i % 2 == 0 ? 1e30F : -1e30F;
  for (const auto& each : kernels) {
    const auto out = product(each, weights.matrix, values, 2);
    for (std::size_t o = 0; o < 32; ++o) EXPECT_EQ(out[o], 0) << each.name;
    for (const float value : out) EXPECT_TRUE(std::isfinite(value)) << each.name;
  }
}

// A damaged file's weights give any numbers, and nothing worse.
TEST(BatchProduct, BytesThatAreNoWeightsAreRead) {
  auto kernels = std::vector<PanelKernels>{scalar_panel_kernels()};
  for (const PanelKernels* each : fast_panel_kernels()) kernels.push_back(*each);
  const auto values = activations(5, 768, 6);
  std::mt19937 random(8);
  for (const ggml_type type : quantised_types()) {
    auto weights = quantised(type, 32, 768, 5);
    // Types with tables look theirs up by these bytes in ggml: here only what is read here.
    if (row_form(weights.matrix) != RowForm::kLevels) continue;
    for (auto& byte : weights.bytes) byte = static_cast<std::byte>(random());
    for (const auto& each : kernels)
      EXPECT_EQ(product(each, weights.matrix, values, 5).size(), 5U * 32) << each.name;
  }
}

TEST(BatchProduct, TakesWholePanelsAndGroupsOnly) {
  const auto weights = quantised(GGML_TYPE_Q8_0, 64, 256, 5);
  WeightMatrix matrix = weights.matrix;
  matrix.rows = 48;
  EXPECT_FALSE(BatchProduct::takes(matrix));
  matrix = weights.matrix;
  matrix.columns = 255;
  EXPECT_FALSE(BatchProduct::takes(matrix));
  matrix = weights.matrix;
  matrix.type = GGML_TYPE_F16;
  EXPECT_FALSE(BatchProduct::takes(matrix));
  matrix = weights.matrix;
  matrix.woven = true;
  EXPECT_FALSE(BatchProduct::takes(matrix)) << "only Q4_K's weaving is known";
  EXPECT_EQ(group_of(576), 96U);
  EXPECT_EQ(group_of(896), 128U);
  EXPECT_EQ(group_of(48), 0U);
}

TEST(ThreadTeam, EachRunsTheTaskOnce) {
  ThreadTeam team;
  for (const std::size_t threads : {1U, 4U, 2U, 6U, 1U, 6U}) {
    for (int i = 0; i < 50; ++i) {
      std::atomic<std::size_t> runs = 0;
      team.run(threads, [&] { ++runs; });
      EXPECT_EQ(runs.load(), threads);
    }
  }
}

}  // namespace
}  // namespace knap::models::runner
