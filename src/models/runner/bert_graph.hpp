#pragma once

#include <memory>

#include "knap/base/result.hpp"
#include "runner/bert_config.hpp"
#include "runner/precision.hpp"
#include "runner/tensor_source.hpp"

namespace ov {
class Model;
}

namespace knap::models::runner {

/// The encoder layers of a BERT model as an OpenVINO graph, weights included.
/// Inputs: "hidden" f32 [batch, tokens, hidden], the normalised embeddings; "mask" f32 [batch, 1,
/// 1, tokens], 0 for tokens and a large negative number for padding. Output: f32 [batch, tokens,
/// hidden]. Errors: kCorruptData (tensors missing or of another shape).
Result<std::shared_ptr<ov::Model>> build_bert_encoder(const BertConfig& config,
                                                      const TensorSource& weights,
                                                      Precision precision);

}  // namespace knap::models::runner
