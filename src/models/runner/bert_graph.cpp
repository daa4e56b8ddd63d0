#include "runner/bert_graph.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <openvino/core/model.hpp>
#include <openvino/opsets/opset13.hpp>
#include <stdexcept>

#include "runner/bert_weights.hpp"

namespace knap::models::runner {
namespace {

namespace op = ov::opset13;
using Node = ov::Output<ov::Node>;

// The CPU plugin's products of 8-bit activations and weights take unsigned weights only.
constexpr std::uint8_t kZeroPoint = 128;

// Thrown inside this file only, where the operators' constructors may throw too; caught in
// build_bert_encoder().
struct BuildError : std::runtime_error {
  explicit BuildError(Error reason)
      : std::runtime_error(reason.message), error(std::move(reason)) {}
  Error error;
};

Node constant(const std::vector<float>& values, const ov::Shape& shape) {
  return op::Constant::create(ov::element::f32, shape, values);
}
Node integers(const std::vector<std::int64_t>& values) {
  return op::Constant::create(ov::element::i64, ov::Shape{values.size()}, values);
}

class Builder {
 public:
  Builder(const BertConfig& config, const TensorSource& weights, Precision precision)
      : config_(config),
        weights_(weights),
        int8_(precision == Precision::kInt8 || precision == Precision::kInt8Bf16) {}

  std::shared_ptr<ov::Model> build() {
    const auto hidden_size = static_cast<std::int64_t>(config_.hidden);
    auto hidden =
        std::make_shared<op::Parameter>(ov::element::f32, ov::PartialShape{-1, -1, hidden_size});
    // One row for all tokens of a text, or one a token: then several texts may stand in one.
    auto mask = std::make_shared<op::Parameter>(ov::element::f32, ov::PartialShape{-1, 1, -1, -1});
    hidden->output(0).set_names({"hidden"});
    mask->output(0).set_names({"mask"});
    Node state = hidden;
    for (std::size_t layer = 0; layer < config_.layers; ++layer) {
      state = encoder_layer(state, mask, layer);
    }
    auto result = std::make_shared<op::Result>(state);
    return std::make_shared<ov::Model>(ov::ResultVector{result}, ov::ParameterVector{hidden, mask},
                                       "bert");
  }

 private:
  // [out, in] weights, as a plain constant or as 8-bit integers with one scale per output channel:
  // the shape of subgraph that the CPU plugin keeps compressed.
  Node weight(const std::vector<float>& values, std::size_t out, std::size_t in) const {
    if (!int8_) return constant(values, ov::Shape{out, in});
    std::vector<std::uint8_t> quantised(values.size());
    std::vector<float> scales(out);
    for (std::size_t row = 0; row < out; ++row) {
      const float* from = values.data() + row * in;
      float largest = 0;
      for (std::size_t i = 0; i < in; ++i) largest = std::max(largest, std::fabs(from[i]));
      const float scale = largest > 0 ? largest / 127.0F : 1.0F;
      scales[row] = scale;
      for (std::size_t i = 0; i < in; ++i) {
        quantised[row * in + i] =
            static_cast<std::uint8_t>(kZeroPoint + std::lround(from[i] / scale));
      }
    }
    auto integer = op::Constant::create(ov::element::u8, ov::Shape{out, in}, quantised);
    auto widened = std::make_shared<op::Convert>(integer, ov::element::f32);
    auto zero = op::Constant::create(ov::element::u8, ov::Shape{1, 1}, {kZeroPoint});
    auto centred = std::make_shared<op::Subtract>(
        widened, std::make_shared<op::Convert>(zero, ov::element::f32));
    return std::make_shared<op::Multiply>(centred, constant(scales, ov::Shape{out, 1}));
  }

  Node linear(const Node& input, const LinearWeights& part) const {
    auto product =
        std::make_shared<op::MatMul>(input, weight(part.weights, part.out, part.in), false, true);
    return std::make_shared<op::Add>(product, constant(part.bias, ov::Shape{1, 1, part.out}));
  }

  Node norm(const Node& input, const NormWeights& part) const {
    const ov::Shape shape{1, 1, config_.hidden};
    auto centred = std::make_shared<op::MVN>(input, integers({-1}), true, config_.norm_epsilon,
                                             ov::op::MVNEpsMode::INSIDE_SQRT);
    auto scaled = std::make_shared<op::Multiply>(centred, constant(part.gain, shape));
    return std::make_shared<op::Add>(scaled, constant(part.bias, shape));
  }

  Node attention(const Node& state, const Node& mask, const LinearWeights& input) const {
    const std::size_t size = config_.hidden;
    const Node joined = linear(state, input);
    const auto heads = static_cast<std::int64_t>(config_.heads);
    const auto head_size = static_cast<std::int64_t>(size / config_.heads);
    auto split = std::make_shared<op::Split>(
        joined, op::Constant::create(ov::element::i64, ov::Shape{}, {2}), 3);
    std::vector<Node> parts;
    for (std::size_t i = 0; i < 3; ++i) {
      auto shaped =
          std::make_shared<op::Reshape>(split->output(i), integers({0, 0, heads, head_size}), true);
      parts.push_back(std::make_shared<op::Transpose>(shaped, integers({0, 2, 1, 3})));
    }
    auto mixed =
        std::make_shared<op::ScaledDotProductAttention>(parts[0], parts[1], parts[2], mask, false);
    auto back = std::make_shared<op::Transpose>(mixed, integers({0, 2, 1, 3}));
    return std::make_shared<op::Reshape>(back, integers({0, 0, static_cast<std::int64_t>(size)}),
                                         true);
  }

  Node encoder_layer(const Node& state, const Node& mask, std::size_t index) const {
    auto read = read_layer(config_, weights_, index);
    if (!read) throw BuildError(std::move(read).error());
    const LayerWeights& layer = *read;
    const Node mixed =
        linear(attention(state, mask, layer.attention_input), layer.attention_output);
    const Node attended = norm(std::make_shared<op::Add>(mixed, state), layer.attention_norm);
    const Node wide = linear(attended, layer.wide);
    auto active = std::make_shared<op::Gelu>(wide, ov::op::GeluApproximationMode::ERF);
    const Node narrow = linear(active, layer.narrow);
    return norm(std::make_shared<op::Add>(narrow, attended), layer.output_norm);
  }

  const BertConfig& config_;
  const TensorSource& weights_;
  const bool int8_;
};

}  // namespace

Result<std::shared_ptr<ov::Model>> build_bert_encoder(const BertConfig& config,
                                                      const TensorSource& weights,
                                                      Precision precision) {
  try {
    return Builder(config, weights, precision).build();
  } catch (const BuildError& failure) {
    return failure.error;
  } catch (const std::exception& failure) {
    return make_error(ErrorCode::kInternal,
                      fmt::format("building the encoder failed: {}", failure.what()));
  }
}

}  // namespace knap::models::runner
