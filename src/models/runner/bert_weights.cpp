#include "runner/bert_weights.hpp"

#include <fmt/format.h>

#include "runner/encoder_math.hpp"

namespace knap::models::runner {
namespace {

Result<LinearWeights> read_linear(const TensorSource& weights, const std::string& name,
                                  std::size_t out, std::size_t in) {
  LinearWeights linear{out, in, {}, {}};
  KNAP_TRY(linear.weights, read_bert_tensor(weights, name + ".weight", {out, in}));
  KNAP_TRY(linear.bias, read_bert_tensor(weights, name + ".bias", {out}));
  return linear;
}

Result<NormWeights> read_norm(const TensorSource& weights, const std::string& name,
                              std::size_t size) {
  NormWeights norm;
  KNAP_TRY(norm.gain, read_bert_tensor(weights, name + ".weight", {size}));
  KNAP_TRY(norm.bias, read_bert_tensor(weights, name + ".bias", {size}));
  return norm;
}

}  // namespace

Result<std::vector<float>> read_bert_tensor(const TensorSource& weights, const std::string& name,
                                            const std::vector<std::size_t>& shape) {
  auto values = weights.read(name, shape);
  if (!values && values.error().code == ErrorCode::kCorruptData) {
    if (auto prefixed = weights.read("bert." + name, shape)) return prefixed;
  }
  return values;
}

Result<LayerWeights> read_layer(const BertConfig& config, const TensorSource& weights,
                                std::size_t layer) {
  const std::size_t size = config.hidden;
  const std::string prefix = fmt::format("encoder.layer.{}.", layer);
  LayerWeights result;
  LinearWeights& joined = result.attention_input;
  joined.out = 3 * size;
  joined.in = size;
  for (const char* part : {"query", "key", "value"}) {
    KNAP_TRY(const auto one, read_linear(weights, prefix + "attention.self." + part, size, size));
    joined.weights.insert(joined.weights.end(), one.weights.begin(), one.weights.end());
    joined.bias.insert(joined.bias.end(), one.bias.begin(), one.bias.end());
  }
  const std::string output = prefix + "attention.output.";
  KNAP_TRY(result.attention_output, read_linear(weights, output + "dense", size, size));
  KNAP_TRY(result.attention_norm, read_norm(weights, output + "LayerNorm", size));
  KNAP_TRY(result.wide,
           read_linear(weights, prefix + "intermediate.dense", config.intermediate, size));
  KNAP_TRY(result.narrow, read_linear(weights, prefix + "output.dense", size, config.intermediate));
  KNAP_TRY(result.output_norm, read_norm(weights, prefix + "output.LayerNorm", size));
  return result;
}

Result<EmbeddingTable> EmbeddingTable::open(const BertConfig& config, const TensorSource& weights,
                                            std::size_t positions) {
  EmbeddingTable table;
  table.hidden_ = config.hidden;
  table.epsilon_ = config.norm_epsilon;
  const std::vector<std::size_t> words_shape{config.vocabulary, config.hidden};
  const std::string words = "embeddings.word_embeddings.weight";
  auto rows = weights.rows(words, words_shape);
  if (!rows) rows = weights.rows("bert." + words, words_shape);
  if (!rows) return std::move(rows).error();
  table.words_ = *std::move(rows);
  KNAP_TRY(const auto position_rows,
           read_bert_tensor(weights, "embeddings.position_embeddings.weight",
                            {config.positions, config.hidden}));
  KNAP_TRY(const auto types, read_bert_tensor(weights, "embeddings.token_type_embeddings.weight",
                                              {config.types, config.hidden}));
  if (config.types > 1) {
    for (std::size_t i = 0; i < config.hidden; ++i)
      table.second_.push_back(types[config.hidden + i] - types[i]);
  }
  table.offsets_.resize(positions * config.hidden);  // of type 0
  for (std::size_t i = 0; i < table.offsets_.size(); ++i) {
    table.offsets_[i] = position_rows[i] + types[i % config.hidden];
  }
  KNAP_TRY(NormWeights norm, read_norm(weights, "embeddings.LayerNorm", config.hidden));
  table.gain_ = std::move(norm.gain);
  table.bias_ = std::move(norm.bias);
  return table;
}

void EmbeddingTable::look_up_text(std::span<const std::int32_t> ids, std::int32_t pair_end_id,
                                  float* out) const {
  bool second = false;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    look_up(ids[i], i, out + i * hidden_, second);
    second = second || (pair_end_id >= 0 && ids[i] == pair_end_id);
  }
}

void EmbeddingTable::look_up(std::int32_t id, std::size_t position, float* out, bool second) const {
  words_(static_cast<std::size_t>(id), {out, hidden_});
  const float* offset = offsets_.data() + position * hidden_;
  for (std::size_t i = 0; i < hidden_; ++i) out[i] += offset[i];
  if (second)
    for (std::size_t i = 0; i < hidden_; ++i) out[i] += second_[i];
  layer_norm({out, hidden_}, gain_, bias_, epsilon_);
}

}  // namespace knap::models::runner
