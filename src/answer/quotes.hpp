#pragma once

#include <string>
#include <vector>

#include "knap/answer/answer.hpp"
#include "score_sentences.hpp"

namespace knap::answer {

/// A sentence chosen for the answer: what is cited, and how it is shown.
struct Quote {
  Citation citation;          ///< quote: verbatim bytes of the note.
  std::string shown;          ///< The same as a reader sees it.
  std::string known;          ///< Its passage, where a model may have read it ahead; may be empty.
  std::string before, after;  ///< Neighbouring sentences, for the prompt only; may be empty.
  Sentence::Kind kind = Sentence::Kind::kProse;
  float score = 0;
};

/// Longer sentences are cut to the part that holds most words of the question.
inline constexpr std::size_t kMaxQuoteBytes = 420;
/// Further quotes are added only up to this many words in all.
inline constexpr std::size_t kMaxQuotedWords = 70;

/// The best sentences, at most `limit`: the best always, others while they score near it and the
/// words suffice. Sentences that follow each other in a note stand in its order. Ids count from 1.
std::vector<Quote> choose_quotes(const Evidence& evidence, std::size_t limit);

std::vector<Citation> citations_of(const std::vector<Quote>& quotes);

}  // namespace knap::answer
