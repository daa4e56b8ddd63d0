#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "test_folder.hpp"

namespace knap::models::runner {

/// A cross-encoder of random weights, small and of the real shape, and its arithmetic in plain
/// loops of double precision: what engines are compared with in tests.
struct TinyBert {
  static constexpr std::size_t kHidden = 128, kHeads = 2, kWide = 256, kLayers = 2, kPositions = 32;
  static constexpr const char* kWords[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "a",
                                           "b",     "c",     "d",     "e",     "f"};
  struct Options {
    bool head = true;       ///< Pooler and classifier are there.
    std::size_t types = 2;  ///< Of texts.
  };
  struct Tensor {
    std::vector<std::size_t> shape;
    std::vector<float> values;
  };
  std::map<std::string, Tensor> tensors;

  using Rows = std::vector<std::vector<double>>;

  /// @param ids  as the tokenizer gives them for a pair
  double logit(const std::vector<std::int32_t>& ids) const {
    Rows states;
    bool second = false;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      std::vector<double> row(kHidden);
      for (std::size_t d = 0; d < kHidden; ++d) {
        row[d] = at("embeddings.word_embeddings.weight", static_cast<std::size_t>(ids[i]), d) +
                 at("embeddings.position_embeddings.weight", i, d) +
                 at("embeddings.token_type_embeddings.weight", second ? 1 : 0, d);
      }
      states.push_back(normalised(row, "embeddings.LayerNorm"));
      second = second || ids[i] == 3;
    }
    for (std::size_t layer = 0; layer < kLayers; ++layer)
      states = through(states, "encoder.layer." + std::to_string(layer) + ".");
    const auto pooled = linear(states.front(), "pooler.dense");
    double sum = at("classifier.bias", 0);
    for (std::size_t d = 0; d < kHidden; ++d)
      sum += at("classifier.weight", 0, d) * std::tanh(pooled[d]);
    return sum;
  }

 private:
  double at(const std::string& name, std::size_t row) const { return tensors.at(name).values[row]; }
  double at(const std::string& name, std::size_t row, std::size_t column) const {
    const Tensor& tensor = tensors.at(name);
    return tensor.values[row * tensor.shape[1] + column];
  }
  std::vector<double> linear(const std::vector<double>& in, const std::string& name) const {
    const Tensor& weights = tensors.at(name + ".weight");
    std::vector<double> out(weights.shape[0]);
    for (std::size_t o = 0; o < out.size(); ++o) {
      out[o] = at(name + ".bias", o);
      for (std::size_t i = 0; i < in.size(); ++i) out[o] += in[i] * at(name + ".weight", o, i);
    }
    return out;
  }
  std::vector<double> normalised(const std::vector<double>& row, const std::string& name) const {
    double mean = 0, variance = 0;
    for (const double v : row) mean += v / static_cast<double>(row.size());
    for (const double v : row)
      variance += (v - mean) * (v - mean) / static_cast<double>(row.size());
    std::vector<double> out;
    for (std::size_t i = 0; i < row.size(); ++i)
      out.push_back((row[i] - mean) / std::sqrt(variance + 1e-12) * at(name + ".weight", i) +
                    at(name + ".bias", i));
    return out;
  }
  Rows through(const Rows& states, const std::string& prefix) const {
    Rows query, key, value, out;
    for (const auto& row : states) {
      query.push_back(linear(row, prefix + "attention.self.query"));
      key.push_back(linear(row, prefix + "attention.self.key"));
      value.push_back(linear(row, prefix + "attention.self.value"));
    }
    constexpr std::size_t kSize = kHidden / kHeads;
    for (std::size_t i = 0; i < states.size(); ++i) {
      std::vector<double> mixed(kHidden);
      for (std::size_t head = 0; head < kHeads; ++head) {
        std::vector<double> weights;
        double all = 0;
        for (const auto& other : key) {
          double product = 0;
          for (std::size_t d = head * kSize; d < (head + 1) * kSize; ++d)
            product += query[i][d] * other[d];
          weights.push_back(std::exp(product / std::sqrt(static_cast<double>(kSize))));
          all += weights.back();
        }
        for (std::size_t j = 0; j < value.size(); ++j)
          for (std::size_t d = head * kSize; d < (head + 1) * kSize; ++d)
            mixed[d] += weights[j] / all * value[j][d];
      }
      auto attended = linear(mixed, prefix + "attention.output.dense");
      for (std::size_t d = 0; d < kHidden; ++d) attended[d] += states[i][d];
      attended = normalised(attended, prefix + "attention.output.LayerNorm");
      auto wide = linear(attended, prefix + "intermediate.dense");
      for (double& v : wide) v = v / 2 * (1 + std::erf(v / std::sqrt(2.0)));
      auto narrow = linear(wide, prefix + "output.dense");
      for (std::size_t d = 0; d < kHidden; ++d) narrow[d] += attended[d];
      out.push_back(normalised(narrow, prefix + "output.LayerNorm"));
    }
    return out;
  }
};

/// Its files in the folder, as published models lie there.
inline TinyBert write_tiny_bert(const TestFolder& folder, TinyBert::Options options) {
  TinyBert model;
  std::mt19937 random(5);
  const auto add = [&](const std::string& name, std::vector<std::size_t> shape, float spread,
                       float middle = 0) {
    std::size_t count = 1;
    for (const std::size_t each : shape) count *= each;
    std::normal_distribution<float> normal(middle, spread);
    std::vector<float> values(count);
    for (float& value : values) value = normal(random);
    model.tensors[name] = {std::move(shape), std::move(values)};
  };
  const auto add_linear = [&](const std::string& name, std::size_t out, std::size_t in) {
    add(name + ".weight", {out, in}, 1.0F / std::sqrt(static_cast<float>(in)));
    add(name + ".bias", {out}, .1F);
  };
  const auto add_norm = [&](const std::string& name) {
    add(name + ".weight", {TinyBert::kHidden}, .1F, 1);
    add(name + ".bias", {TinyBert::kHidden}, .1F);
  };
  constexpr std::size_t kHidden = TinyBert::kHidden;
  add("embeddings.word_embeddings.weight", {std::size(TinyBert::kWords), kHidden}, 1);
  add("embeddings.position_embeddings.weight", {TinyBert::kPositions, kHidden}, .3F);
  add("embeddings.token_type_embeddings.weight", {options.types, kHidden}, .5F);
  add_norm("embeddings.LayerNorm");
  for (std::size_t layer = 0; layer < TinyBert::kLayers; ++layer) {
    const std::string prefix = "encoder.layer." + std::to_string(layer) + ".";
    for (const char* part : {"query", "key", "value"})
      add_linear(prefix + "attention.self." + part, kHidden, kHidden);
    add_linear(prefix + "attention.output.dense", kHidden, kHidden);
    add_norm(prefix + "attention.output.LayerNorm");
    add_linear(prefix + "intermediate.dense", TinyBert::kWide, kHidden);
    add_linear(prefix + "output.dense", kHidden, TinyBert::kWide);
    add_norm(prefix + "output.LayerNorm");
  }
  if (options.head) {
    add_linear("pooler.dense", kHidden, kHidden);
    add_linear("classifier", 1, kHidden);
  }
  std::string header = "{", data;
  for (const auto& [name, tensor] : model.tensors) {
    const bool of_head = name.starts_with("classifier");
    std::string shape;
    for (const std::size_t each : tensor.shape)
      shape += (shape.empty() ? "" : ",") + std::to_string(each);
    header += (header.size() > 1 ? ",\"" : "\"") + (of_head ? name : "bert." + name) +
              R"(":{"dtype":"F32","shape":[)" + shape + R"(],"data_offsets":[)" +
              std::to_string(data.size()) + ",";
    data.append(reinterpret_cast<const char*>(tensor.values.data()), tensor.values.size() * 4);
    header += std::to_string(data.size()) + "]}";
  }
  header += "}";
  const std::uint64_t length = header.size();
  std::string file(sizeof length, 0);
  std::memcpy(file.data(), &length, sizeof length);
  folder.write("model.safetensors", file + header + data);
  std::string words;
  for (const char* word : TinyBert::kWords) words += std::string(word) + "\n";
  folder.write("vocab.txt", words);
  folder.write(
      "config.json",
      R"({"model_type":"bert","hidden_act":"gelu","vocab_size":10,"max_position_embeddings":32,)"
      R"("type_vocab_size":)" +
          std::to_string(options.types) +
          R"(,"hidden_size":128,"num_hidden_layers":2,"num_attention_heads":2,)"
          R"("intermediate_size":256,"layer_norm_eps":1e-12})");
  return model;
}

}  // namespace knap::models::runner
