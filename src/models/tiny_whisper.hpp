#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace knap::models {

inline constexpr std::uint32_t kWidth = 64;
inline constexpr std::uint16_t kOne = 0x3C00;  // 1.0 in 16 bits

template <typename Number>
void put(std::string& out, Number value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// Builds a CTranslate2 file for tests.
class Weights {
 public:
  void add(std::string_view name, const std::vector<std::uint32_t>& shape,
           std::uint16_t value = kOne) {
    put(variables_, static_cast<std::uint16_t>(name.size() + 1));
    variables_.append(name).push_back('\0');
    put(variables_, static_cast<std::uint8_t>(shape.size()));
    std::uint32_t count = 1;
    for (const std::uint32_t size : shape) {
      put(variables_, size);
      count *= size;
    }
    put(variables_, std::uint8_t{4});
    put(variables_, count * 2);
    for (std::uint32_t i = 0; i < count; ++i) put(variables_, value);
    ++count_;
  }
  void add_linear(const std::string& name, std::uint32_t out, std::uint32_t in) {
    add(name + "/weight", {out, in});
    add(name + "/bias", {out});
  }
  void add_norm(const std::string& name) {
    add(name + "/gamma", {kWidth});
    add(name + "/beta", {kWidth});
  }
  std::string file() const {
    std::string out;
    put(out, std::uint32_t{6});
    put(out, std::uint16_t{5});
    out += std::string("Test\0", 5);
    put(out, std::uint32_t{3});
    put(out, count_);
    return out + variables_;
  }

 private:
  std::string variables_;
  std::uint32_t count_ = 0;
};

/// One layer on each side, kWidth values wide, all numbers 1.
inline Weights tiny_whisper() {
  Weights weights;
  weights.add("decoder/embeddings/weight", {5, kWidth});
  weights.add("encoder/position_encodings/encodings", {4, kWidth});
  weights.add("decoder/position_encodings/encodings", {3, kWidth});
  weights.add_norm("encoder/layer_norm");
  weights.add_norm("decoder/layer_norm");
  for (const std::string conv : {"conv1", "conv2"}) {
    weights.add("encoder/" + conv + "/weight", {kWidth, 2, 3});
    weights.add("encoder/" + conv + "/bias", {kWidth});
  }
  for (const std::string side : {"encoder", "decoder"}) {
    const std::string layer = side + "/layer_0";
    weights.add_norm(layer + "/ffn/layer_norm");
    weights.add_linear(layer + "/ffn/linear_0", 2 * kWidth, kWidth);
    weights.add_linear(layer + "/ffn/linear_1", kWidth, 2 * kWidth);
    weights.add_norm(layer + "/self_attention/layer_norm");
    weights.add_linear(layer + "/self_attention/linear_0", 3 * kWidth, kWidth);
    weights.add_linear(layer + "/self_attention/linear_1", kWidth, kWidth);
  }
  weights.add_norm("decoder/layer_0/attention/layer_norm");
  weights.add_linear("decoder/layer_0/attention/linear_0", kWidth, kWidth);
  weights.add_linear("decoder/layer_0/attention/linear_1", 2 * kWidth, kWidth);
  weights.add_linear("decoder/layer_0/attention/linear_2", kWidth, kWidth);
  return weights;
}

}  // namespace knap::models
