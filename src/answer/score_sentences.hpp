#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "knap/index/service.hpp"
#include "question.hpp"
#include "sentences.hpp"

namespace knap::answer {

/// A passage found by search, and which words of the question it holds where.
struct PassageEvidence {
  const index::SearchHit* hit = nullptr;
  const Question* question = nullptr;  ///< As read in the passage's language.
  std::vector<Sentence> sentences;
  std::vector<float> in_heading;  ///< By term, 0-1: title, headings, name of the note.
  std::vector<float> in_passage;  ///< By term, 0-1: anywhere in its text.
  bool meaning_fits = true;       ///< The embedding model knows the passage's language.
};

/// A sentence that may be quoted, with what speaks for it. All parts are 0-1 unless said.
struct Candidate {
  std::size_t passage = 0, sentence = 0;  ///< Positions in Evidence::passages and its sentences.
  std::vector<float> found;               ///< By term: how well the sentence itself holds it.
  float own = 0;  ///< Share of the question's weight that the sentence holds.
  float context =
      0;  ///< Further share, discounted, that its neighbours, headings and passage hold.
  float sequence = 0;       ///< Neighbouring words of the question that stand close together here.
  float expected = 0;       ///< Holds the kind of thing that is asked for.
  float passage_score = 0;  ///< Search score relative to the best passage.
  float cosine = -1;        ///< With the question; below zero: unknown.
  bool news = true;         ///< Says something that the question does not say itself.
  std::size_t words = 0;
  float score = 0;
};

/// All that was found for a question.
struct Evidence {
  std::map<std::string, std::unique_ptr<Question>> questions;  ///< By language.
  std::vector<PassageEvidence> passages;                       ///< As search ranked them.
  std::vector<Candidate> candidates;                           ///< Best first after rank().
};

/// Reads passages and question; candidates are scored by words and ranked.
/// @param hits  must outlive the evidence
Evidence gather_evidence(std::string_view question, std::string_view borrowed,
                         const std::vector<index::SearchHit>& hits, const Rarity& rarity);

/// Scores and sorts the candidates anew, after their cosines changed.
void rank(Evidence& evidence);

}  // namespace knap::answer
