#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"
#include "runner/bert_encoder.hpp"
#include "runner/precision.hpp"

namespace knap::models::runner {

/// A BERT cross-encoder: it reads a question and a text together and says how well the text answers
/// (Nogueira & Cho, "Passage Re-ranking with BERT", 2019). The folder holds model.safetensors,
/// config.json and vocab.txt of a model for sequence classification with one label.
///
/// Threads: safe. A background call computes on the thread that calls.
class RerankEngine {
 public:
  struct Options {
    std::filesystem::path model_dir;
    std::size_t max_tokens = 512;  ///< The window of question and text together.
    Precision precision = Precision::kF32;
    std::size_t streams = 1;  ///< Background calls that may run at the same time.
    std::size_t interactive_threads = 1;
  };
  /// Errors: kNotFound, kCorruptData (names the file or the tensor), kUnsupported (not one label).
  static Result<std::unique_ptr<RerankEngine>> open(const Options& options);
  virtual ~RerankEngine() = default;

  virtual std::size_t max_tokens() const = 0;
  /// Begin, question, end, text, end. A text too long for the window is cut; a question may take
  /// half of it.
  virtual std::vector<std::int32_t> tokenize(std::string_view question,
                                             std::string_view text) const = 0;

  /// One batch in one step. Pairs of unlike length waste work: batch by length.
  /// @param out  one logit a pair: the higher, the better the text answers. Not bounded.
  virtual Status run(std::span<const std::vector<std::int32_t>* const> pairs, std::span<float> out,
                     Lane lane) = 0;
};

}  // namespace knap::models::runner
