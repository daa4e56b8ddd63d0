#pragma once

#include <span>
#include <string>
#include <vector>

#include "knap/base/result.hpp"
#include "runner/bert_config.hpp"
#include "runner/tensor_source.hpp"

namespace knap::models::runner {

/// Weights of a product: [out, in] row by row, and one bias an output.
struct LinearWeights {
  std::size_t out = 0, in = 0;
  std::vector<float> weights, bias;
};
struct NormWeights {
  std::vector<float> gain, bias;
};
/// One encoder layer. Query, key and value stand in one product: one pass over the input instead of
/// three.
struct LayerWeights {
  LinearWeights attention_input, attention_output, wide, narrow;
  NormWeights attention_norm, output_norm;
};

/// Reads a tensor of a BERT model. Files made from a model with a task head name the same tensors
/// "bert....". Errors: as TensorSource::read().
Result<std::vector<float>> read_bert_tensor(const TensorSource& weights, const std::string& name,
                                            const std::vector<std::size_t>& shape);

/// Errors: kCorruptData (tensors missing or of another shape).
Result<LayerWeights> read_layer(const BertConfig& config, const TensorSource& weights,
                                std::size_t layer);

/// Looks up word, position and type vectors and normalises their sum: the encoder's input. Half of
/// a small model: it stays in the mapped file, shared by all that read it and never quantised.
/// Threads: const and safe.
class EmbeddingTable {
 public:
  /// @param positions  the longest text in tokens. `weights` must outlive the table.
  static Result<EmbeddingTable> open(const BertConfig& config, const TensorSource& weights,
                                     std::size_t positions);

  /// @param out  config.hidden values
  void look_up(std::int32_t id, std::size_t position, float* out) const;

 private:
  std::size_t hidden_ = 0;
  float epsilon_ = 0;
  TensorSource::Rows words_;
  std::vector<float> offsets_, gain_, bias_;
};

}  // namespace knap::models::runner
