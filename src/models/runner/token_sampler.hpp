#pragma once

#include <llama.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runner/answer_engine.hpp"

namespace knap::models::runner {

/// Chooses tokens from llama.cpp's logits. Only the likeliest few are ever sorted: the whole
/// vocabulary, 150,000 tokens with some models, is passed over once, and once more when the chances
/// are wanted. Only where a grammar takes none of the likeliest are all put before it.
class LlamaSampler final : public TokenSampler {
 public:
  /// Errors: kInvalidArgument (llama.cpp refuses the grammar).
  static Result<std::unique_ptr<LlamaSampler>> make(const llama_vocab* vocabulary,
                                                    const GenerationRequest& request);

  /// @return kNoToken when the grammar lets nothing follow
  Token choose(const float* logits);
  const Chances* chances() const override { return wants_chances_ ? &chances_ : nullptr; }

 private:
  using Chain = std::unique_ptr<llama_sampler, void (*)(llama_sampler*)>;
  LlamaSampler(const llama_vocab* vocabulary, const GenerationRequest& request);
  bool start_grammar();
  void find_best(const float* logits);
  void constrain(const float* logits);
  Token accept(Token token);
  void watch_for_trigger(Token token);
  void record(const float* logits, Token chosen);

  const llama_vocab* const vocabulary_;
  const std::size_t vocabulary_size_;
  const Grammar wanted_;
  const bool wants_chances_;
  const std::size_t top_;
  Chain chain_;    ///< Null: always the likeliest.
  Chain grammar_;  ///< Null: none, or its trigger has not come.
  std::string tail_;
  std::vector<llama_token_data> best_;  ///< Best first.
  Chances chances_;
};

}  // namespace knap::models::runner
