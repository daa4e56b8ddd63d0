#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "knap/base/result.hpp"
#include "runner/bert_config.hpp"
#include "runner/bert_weights.hpp"
#include "runner/precision.hpp"
#include "runner/tensor_source.hpp"

namespace knap::models::runner {

/// Whose turn a call is: a person waits for an interactive one.
enum class Lane { kInteractive, kBackground };

/// Tokens of several interactive texts, which OpenVINO reads as one row, are filled up to a
/// multiple of this: it makes its kernels for each length anew.
inline constexpr std::size_t kPackedStep = 8;

/// What an encoder gives for a text: the mean of its tokens' last states, or the first token's,
/// both scaled to length 1; or the first token's as it is, for a head to read.
enum class Output { kMean, kFirst, kFirstState };

/// The layers of a BERT model: token ids in, one vector a text out. Two implementations: OpenVINO
/// (every precision that it has fast instructions for) and Knap's own 8-bit kernels.
///
/// Threads: safe. A background call computes on the thread that calls; two calls on two threads use
/// two cores.
class BertEncoder {
 public:
  struct Options {
    Precision precision = Precision::kF32;
    std::size_t max_tokens = 256;
    std::size_t streams = 1;              ///< Background calls that may run at the same time.
    std::size_t interactive_threads = 1;  ///< Cores that may share one interactive call.
    std::int32_t pad_id = 0;              ///< The token that fills up shorter texts of a batch.
    Output output = Output::kMean;
    /// What ends the first of a pair's two texts: tokens behind it are of the second type. -1: no
    /// pairs.
    std::int32_t pair_end_id = -1;
  };

  virtual ~BertEncoder() = default;

  /// @param texts  1 or more, each of 1 to max_tokens ids below config.vocabulary
  /// @param out  texts.size() x config.hidden, as Options::output says
  virtual Status encode(std::span<const std::vector<std::int32_t>* const> texts,
                        std::span<float> out, Lane lane) = 0;
};

/// Both keep references to `weights` and `table`, which must outlive them.
/// Errors: kCorruptData (a tensor is missing or of another shape), kUnsupported (sizes that the
/// kernels cannot take), kInternal (the engine's own words).
Result<std::unique_ptr<BertEncoder>> make_openvino_encoder(const BertConfig& config,
                                                           const TensorSource& weights,
                                                           const EmbeddingTable& table,
                                                           const BertEncoder::Options& options);
Result<std::unique_ptr<BertEncoder>> make_int8_encoder(const BertConfig& config,
                                                       const TensorSource& weights,
                                                       const EmbeddingTable& table,
                                                       const BertEncoder::Options& options);

/// One text's vector from its `rows` states of out.size() values each.
void pool_states(Output output, const float* states, std::size_t rows, std::span<float> out);

}  // namespace knap::models::runner
