#include "runner/product_backend.hpp"

#include <ggml-cpp.h>
#include <ggml-cpu.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "runner/devices.hpp"
#include "runner/panel_kernels.hpp"

namespace knap::models::runner {
namespace {

constexpr std::int64_t kColumns = 512, kRows = 96;

struct Products {
  std::vector<float> ours, theirs;
};

/// The same product by our backend and by llama.cpp's for the processor, with weights in a buffer
/// of that type.
void multiply(ggml_type type, ggml_backend_buffer_type_t buffer_type, std::int64_t tokens,
              Products& out) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 1);
  std::vector<float> weights(kColumns * kRows), values(kColumns * tokens);
  for (float& value : weights) value = normal(random) * 0.1F;
  for (float& value : values) value = normal(random);
  std::vector<std::uint8_t> bytes(ggml_row_size(type, kColumns) * kRows);
  ggml_quantize_chunk(type, weights.data(), bytes.data(), 0, kRows, kColumns, nullptr);

  const auto context = [] {
    return ggml_context_ptr(ggml_init({ggml_tensor_overhead() * 8 + ggml_graph_overhead(), nullptr,
                                       /*no_alloc=*/true}));
  };
  const auto held = context(), computed = context();
  ggml_tensor* w = ggml_new_tensor_2d(held.get(), type, kColumns, kRows);
  const ggml_backend_buffer_ptr weight_buffer(
      ggml_backend_alloc_ctx_tensors_from_buft(held.get(), buffer_type));
  ASSERT_NE(weight_buffer, nullptr);
  ggml_backend_tensor_set(w, bytes.data(), 0, bytes.size());
  ggml_tensor* x = ggml_new_tensor_2d(computed.get(), GGML_TYPE_F32, kColumns, tokens);
  ggml_tensor* product = ggml_mul_mat(computed.get(), w, x);
  ggml_cgraph* graph = ggml_new_graph(computed.get());
  ggml_build_forward_expand(graph, product);
  const ggml_backend_buffer_ptr buffer(
      ggml_backend_alloc_ctx_tensors_from_buft(computed.get(), ggml_backend_cpu_buffer_type()));
  ggml_backend_tensor_set(x, values.data(), 0, values.size() * sizeof(float));

  const ggml_backend_ptr ours(ggml_backend_dev_init(product_device(), nullptr));
  const ggml_backend_ptr theirs(ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr));
  ASSERT_TRUE(ggml_backend_supports_op(ours.get(), product)) << ggml_type_name(type);
  ASSERT_TRUE(ggml_backend_supports_buft(ours.get(), buffer_type));
  const auto set_threads =
      reinterpret_cast<ggml_backend_set_n_threads_t>(ggml_backend_reg_get_proc_address(
          ggml_backend_dev_backend_reg(product_device()), "ggml_backend_set_n_threads"));
  ASSERT_NE(set_threads, nullptr);
  set_threads(ours.get(), 2);
  const auto run = [&](ggml_backend_t backend) {
    std::vector<float> result(static_cast<std::size_t>(kRows * tokens));
    EXPECT_EQ(ggml_backend_graph_compute(backend, graph), GGML_STATUS_SUCCESS);
    ggml_backend_tensor_get(product, result.data(), 0, result.size() * sizeof(float));
    return result;
  };
  out.ours = run(ours.get());
  out.theirs = run(theirs.get());
}

double relative_error(const Products& products) {
  double difference = 0, length = 0;
  for (std::size_t i = 0; i < products.ours.size(); ++i) {
    difference += std::pow(static_cast<double>(products.ours[i]) - products.theirs[i], 2);
    length += std::pow(static_cast<double>(products.theirs[i]), 2);
  }
  return std::sqrt(difference / length);
}

ggml_backend_buffer_type_t woven_type() {
  ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
  const auto extra =
      reinterpret_cast<ggml_backend_dev_get_extra_bufts_t>(ggml_backend_reg_get_proc_address(
          ggml_backend_dev_backend_reg(cpu), "ggml_backend_dev_get_extra_bufts"));
  if (extra == nullptr) return nullptr;
  for (auto* types = extra(cpu); types != nullptr && *types != nullptr; ++types)
    if (std::string_view(ggml_backend_buft_name(*types)) == "CPU_REPACK") return *types;
  return nullptr;
}

class ProductBackendTest : public testing::Test {
 protected:
  void SetUp() override {
    load_backends();
    if (fast_panel_kernels().empty()) GTEST_SKIP() << "this processor has no fast kernels";
    ASSERT_NE(product_device(), nullptr);
  }
};

TEST_F(ProductBackendTest, GivesWhatLlamaCppGives) {
  for (const ggml_type type :
       {GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K, GGML_TYPE_Q8_0, GGML_TYPE_Q5_0,
        GGML_TYPE_Q4_0, GGML_TYPE_Q4_1, GGML_TYPE_Q3_K, GGML_TYPE_IQ4_XS}) {
    Products products;
    ASSERT_NO_FATAL_FAILURE(multiply(type, ggml_backend_cpu_buffer_type(), 37, products));
    EXPECT_LT(relative_error(products), 0.015) << ggml_type_name(type);
  }
}

// The layout of woven weights is llama.cpp's own affair: this says when a new version changes it.
TEST_F(ProductBackendTest, ReadsWeightsThatLlamaCppHasWoven) {
  ggml_backend_buffer_type_t woven = woven_type();
  if (woven == nullptr) GTEST_SKIP() << "this llama.cpp weaves no weights";
  Products products;
  ASSERT_NO_FATAL_FAILURE(multiply(GGML_TYPE_Q4_K, woven, 37, products));
  EXPECT_LT(relative_error(products), 0.015);
}

TEST_F(ProductBackendTest, LeavesEverythingElseToLlamaCpp) {
  const ggml_context_ptr context(ggml_init({ggml_tensor_overhead() * 16, nullptr, true}));
  const auto takes = [&](ggml_type type, std::int64_t columns, std::int64_t rows,
                         std::int64_t tokens) {
    ggml_tensor* w = ggml_new_tensor_2d(context.get(), type, columns, rows);
    ggml_tensor* x = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, columns, tokens);
    return ggml_backend_dev_supports_op(product_device(), ggml_mul_mat(context.get(), w, x));
  };
  EXPECT_TRUE(takes(GGML_TYPE_Q8_0, 512, 96, kProductTokensMin));
  EXPECT_FALSE(takes(GGML_TYPE_Q8_0, 512, 96, kProductTokensMin - 1)) << "few tokens";
  EXPECT_FALSE(takes(GGML_TYPE_Q8_0, 512, 90, 64)) << "no whole panels";
  EXPECT_FALSE(takes(GGML_TYPE_F16, 512, 96, 64)) << "not quantised";
}

}  // namespace
}  // namespace knap::models::runner
