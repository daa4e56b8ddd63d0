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
  };

  virtual ~BertEncoder() = default;

  /// @param texts  1 or more, each of 1 to max_tokens ids below config.vocabulary
  /// @param out  texts.size() x config.hidden: the mean of each text's last states, of length 1
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

/// The mean of `rows` states of `size` values each, scaled to length 1.
void pool_mean(const float* states, std::size_t rows, std::span<float> out);

}  // namespace knap::models::runner
