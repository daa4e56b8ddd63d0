#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "runner/generation.hpp"

namespace knap::models::runner {

/// Guesses what an answer writes next: what followed where its last tokens stand earlier, in the
/// prompt or in the answer itself. Of answers that quote, most tokens are guessed right, at no cost
/// but looking.
///
/// How likely a guess is right is learned from the answer, apart for each length of what agreed
/// before: the same two words mean little, the same eight a quotation. How far that is to be
/// trusted is learned too, by what came of it over every few tokens: where something counts up, all
/// but one digit is as before.
///
/// Threads: one at a time. Cost: guess() and push() pass once over the tokens at most.
/// Source: Saxena, "Prompt lookup decoding" (2023); Yang et al., "Inference with reference:
/// lossless acceleration of large language models" (2023).
class PromptLookup {
 public:
  /// @param prompt  as it is read, known parts with it
  explicit PromptLookup(std::vector<Token> prompt) : tokens_(std::move(prompt)) {}

  /// A token was written.
  void push(Token token);

  struct Guess {
    std::span<const Token> tokens;  ///< At most kGuessMax; valid until push().
    /// For each: the probability that it and all before it are right, in [0, 1] and falling.
    std::vector<double> chances;
  };
  /// What may come next; empty when the last tokens stand nowhere else.
  Guess guess() const;

 private:
  static constexpr std::size_t kAgreedMin = 2, kAgreedMax = 8;

  void find();
  void judge(bool right);
  /// That the guess's token `ahead` of the next is right when those before it are.
  double chance(std::size_t ahead) const {
    return chances_[std::min(agreed_ + ahead, kAgreedMax) - kAgreedMin];
  }

  std::vector<Token> tokens_;
  std::size_t next_ = 0;  ///< Where the guess begins; 0: there is none.
  std::size_t agreed_ =
      0;  ///< Tokens before it that are the last ones written; kAgreedMax or more.
  /// By agreed_, before anything is known of the answer.
  double chances_[kAgreedMax - kAgreedMin + 1] = {0.4, 0.55, 0.7, 0.8, 0.85, 0.88, 0.9};
  double trust_ = 1;  ///< What chances are multiplied by.
  /// A guess that is being judged: the tokens of it that may be right by the chances, those that
  /// were before one was wrong, and how many are still to come.
  double promised_ = 0, kept_ = 0;
  std::size_t to_judge_ = 0;
  bool failed_ = false;
};

}  // namespace knap::models::runner
