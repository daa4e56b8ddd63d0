#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "knap/models/models.hpp"
#include "score_sentences.hpp"

namespace knap::answer {

/// Compares the meaning of sentences with a question's, as many as the time allows: a processor
/// without fast int8 embeds a dozen sentences in 200 ms where another takes 30. Learns the pace of
/// the machine as it goes.
///
/// Threads: safe from any thread.
class SentenceMeanings {
 public:
  /// Candidates compared at most for one question.
  static constexpr std::size_t kMaxSentences = 12;

  /// Adds cosines to the best candidates and ranks again. What was not reached is taken to mean as
  /// much as its passage. Anything that fails leaves the evidence ranked by what is known.
  /// @param budget  of time; the deadline, if earlier, wins
  /// @return why less was compared than planned, or empty
  std::string add_cosines(Evidence& evidence, models::Embedder& embedder,
                          const std::vector<float>& question_embedding, Deadline budget,
                          const CancelToken& cancel);

 private:
  std::size_t how_many(std::chrono::milliseconds left) const;
  void learn(std::size_t sentences, std::chrono::milliseconds took);

  std::atomic<float> ms_per_sentence_{0};  ///< 0: not known yet.
};

}  // namespace knap::answer
