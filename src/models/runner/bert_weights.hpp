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
  /// @param second  of the second text of a pair. @pre then the model has two types
  void look_up(std::int32_t id, std::size_t position, float* out, bool second = false) const;
  /// All tokens of a text, row by row.
  /// @param pair_end_id  tokens behind the first of this id are of a pair's second text; -1: none
  void look_up_text(std::span<const std::int32_t> ids, std::int32_t pair_end_id, float* out) const;
  bool has_pairs() const { return !second_.empty(); }

 private:
  std::size_t hidden_ = 0;
  float epsilon_ = 0;
  TensorSource::Rows words_;
  std::vector<float> offsets_, gain_, bias_;
  std::vector<float> second_;  ///< What the second type has more than the first; may be empty.
};

}  // namespace knap::models::runner
