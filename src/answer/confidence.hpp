#pragma once

#include "score_sentences.hpp"

namespace knap::answer {

/// What speaks for and against the notes holding the answer.
struct ConfidenceFeatures {
  float passage_share =
      0;  ///< Question's weight held by the best passage, its title and headings; 0-1.
  float sentence_share =
      0;  ///< The same by the best sentence with half credit for its surroundings; 0-1.
  float missing_rare = 0;     ///< Weight share of rare words that the best passage lacks; 0-1.
  float missing_names = 0;    ///< Share of the question's names that the best passage lacks; 0-1.
  float missing_numbers = 0;  ///< The same for numbers.
  float margin = 0;      ///< Score of the best sentence above the best of any other passage; 0-1.
  float unknown = 0;     ///< Weight share of words that no note holds.
  float cosine = -1;     ///< Best of sentence and passage; below zero: no meaning was compared.
  bool wide = false;     ///< Compared by pairs of Chinese, Japanese or Korean characters.
  bool foreign = false;  ///< Question and passage differ in language: words cannot meet.
};

ConfidenceFeatures confidence_features(const Evidence& evidence,
                                       std::string_view question_language);

/// 0-1: how likely the notes hold the answer.
double confidence(const ConfidenceFeatures& features);

}  // namespace knap::answer
