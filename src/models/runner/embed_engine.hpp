#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "runner/bert_encoder.hpp"
#include "runner/precision.hpp"

namespace knap::models::runner {

/// A BERT sentence encoder: tokenizer, encoder, pooling, unit length.
///
/// Threads: safe. A background call computes on the thread that calls; two calls on two threads use
/// two cores. An interactive call is shared among Options::interactive_threads.
class EmbedEngine {
 public:
  struct Options {
    std::filesystem::path model_dir;  ///< model.safetensors, config.json and vocab.txt; or model.e5
    std::size_t max_tokens = 256;     ///< The window; longer texts are cut.
    Precision precision = Precision::kF32;
    std::size_t streams = 1;              ///< Background calls that may run at the same time.
    std::size_t interactive_threads = 1;  ///< Cores that share one interactive call.
    Output output = Output::kMean;        ///< kMean or kFirst, as the model was trained.
  };
  /// Errors: kNotFound, kCorruptData (names the file), kUnsupported.
  static Result<std::unique_ptr<EmbedEngine>> open(const Options& options);
  virtual ~EmbedEngine() = default;

  virtual std::size_t dimensions() const = 0;
  virtual std::size_t max_tokens() const = 0;
  virtual std::vector<std::int32_t> tokenize(std::string_view text) const = 0;

  /// One batch in one step. Texts of unlike length waste work: batch by length.
  /// @param out  texts.size() x dimensions()
  virtual Status run(std::span<const std::vector<std::int32_t>* const> texts, std::span<float> out,
                     Lane lane) = 0;
};

}  // namespace knap::models::runner
