#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "knap/base/result.hpp"
#include "runner/tokenizer.hpp"

namespace knap::models::runner {

/// The SentencePiece unigram tokenizer of XLM-RoBERTa and its kin: characters are normalised one by
/// one (a map that the model carries), words are set off by U+2581, and each word is cut into the
/// pieces with the largest sum of log probabilities (Viterbi; Kudo 2018, arXiv:1804.10959). Unknown
/// characters in a row become one unknown piece.
class Unigram final : public Tokenizer {
 public:
  struct Vocabulary {
    std::vector<std::string_view> pieces;  ///< The index is the id.
    std::vector<float> scores;             ///< Log probabilities, one a piece.
    std::unordered_map<char32_t, std::u32string> normal;
    std::int32_t begin = 0, end = 0, pad = 0, unknown = 0;
  };

  /// @param vocabulary  its pieces must outlive the tokenizer. Errors: kCorruptData (special ids
  /// outside, scores that are no finite numbers, too many pieces or too long ones).
  static Result<std::unique_ptr<Unigram>> make(Vocabulary vocabulary);

  Tokens encode(std::string_view text, std::size_t max_tokens) const override;
  std::size_t size() const override { return vocabulary_.pieces.size(); }
  std::int32_t pad_id() const override { return vocabulary_.pad; }

 private:
  class Encoder;
  explicit Unigram(Vocabulary vocabulary) : vocabulary_(std::move(vocabulary)) {}
  std::int32_t find(std::string_view piece) const;  ///< -1 when there is none.

  const Vocabulary vocabulary_;
  std::vector<std::int32_t> table_;  ///< Open addressing; id + 1, 0 is empty.
  std::size_t longest_bytes_ = 0;
  float unknown_score_ = 0;
};

}  // namespace knap::models::runner
