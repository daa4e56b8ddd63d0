#pragma once

#include <filesystem>
#include <memory>

#include "knap/base/result.hpp"
#include "runner/bert_config.hpp"
#include "runner/bert_encoder.hpp"
#include "runner/bert_weights.hpp"
#include "runner/tensor_source.hpp"
#include "runner/tokenizer.hpp"

namespace knap::models::runner {

/// What a model's folder holds, in whichever form: model.safetensors, config.json and vocab.txt, or
/// model.e5.
struct BertModel {
  BertConfig config;
  std::unique_ptr<const TensorSource> weights;
  std::shared_ptr<const Tokenizer> tokenizer;

  /// Errors: kNotFound, kCorruptData (names the file), kUnsupported.
  static Result<BertModel> open(const std::filesystem::path& dir);

  /// The table of a window. Errors: kInvalidArgument (the model has fewer positions), kCorruptData.
  Result<EmbeddingTable> table(std::size_t max_tokens) const;
  /// By Knap's own kernels where the precision asks for them and they can, else by OpenVINO.
  /// @param table  like the model itself it must outlive the encoder
  Result<std::unique_ptr<BertEncoder>> encoder(const EmbeddingTable& table,
                                               BertEncoder::Options options) const;
};

}  // namespace knap::models::runner
