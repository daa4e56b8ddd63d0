#include "confidence.hpp"

#include <algorithm>
#include <cmath>

namespace knap::answer {
namespace {

/// Candidates looked at: the passage that speaks most for an answer need not hold the first one.
constexpr std::size_t kLookedAt = 3;
/// A term at least this rare (of the rarest possible) is one that an answering passage should hold.
constexpr float kRare = 0.55F;

ConfidenceFeatures features_of(const Candidate& candidate, const PassageEvidence& passage) {
  const Question& question = *passage.question;
  ConfidenceFeatures features;
  float rare = 0, rare_missing = 0, names = 0, names_missing = 0, numbers = 0, numbers_missing = 0;
  float weight = 0, held = 0, unknown = 0;
  for (std::size_t t = 0; t < question.terms.size(); ++t) {
    const QuestionTerm& term = question.terms[t];
    const float found = passage.in_passage[t];
    weight += term.weight;
    held += term.weight * found;
    if (!term.known) unknown += term.weight;
    if (term.borrowed || term.generic) continue;
    if (term.weight >= kRare) {
      rare += term.weight;
      rare_missing += term.weight * (1 - found);
    }
    if (term.name) {
      names += 1;
      names_missing += 1 - found;
    }
    if (term.number) {
      numbers += 1;
      numbers_missing += 1 - found;
    }
  }
  if (weight > 0) {
    features.passage_share = held / weight;
    features.unknown = unknown / weight;
  }
  features.sentence_share = std::min(1.0F, candidate.own + candidate.context);
  if (rare > 0) features.missing_rare = rare_missing / rare;
  if (names > 0) features.missing_names = names_missing / names;
  if (numbers > 0) features.missing_numbers = numbers_missing / numbers;
  features.cosine = candidate.cosine;
  const float passage_cosine = passage.hit->hit.parts.cosine;
  if (passage_cosine > 0) features.cosine = std::max(features.cosine, passage_cosine);
  return features;
}

/// With a single passage there is nothing to stand out from: what is usual is taken.
float margin_of(const Evidence& evidence) {
  constexpr float kUsual = 0.3F, kLargest = 0.8F;
  if (evidence.candidates.empty()) return 0;
  const Candidate& best = evidence.candidates.front();
  const auto other = std::ranges::find_if(evidence.candidates, [&](const Candidate& candidate) {
    return candidate.passage != best.passage;
  });
  if (other == evidence.candidates.end()) return kUsual;
  return std::clamp(best.score - other->score, 0.0F, kLargest);
}

}  // namespace

ConfidenceFeatures confidence_features(const Evidence& evidence,
                                       std::string_view question_language) {
  ConfidenceFeatures best;
  const float margin = margin_of(evidence);
  double best_confidence = -1;
  for (std::size_t i = 0; i < std::min(kLookedAt, evidence.candidates.size()); ++i) {
    const Candidate& candidate = evidence.candidates[i];
    const PassageEvidence& passage = evidence.passages[candidate.passage];
    ConfidenceFeatures features = features_of(candidate, passage);
    features.margin = margin;
    const std::string& language = passage.hit->passage.language;
    features.wide = language == "zh" || language == "ja" || language == "ko";
    features.foreign =
        !language.empty() && !question_language.empty() && language != question_language;
    // A model that does not know the language gives cosines of another scale. Across languages they
    // are all there is.
    if (!passage.meaning_fits && !features.foreign) features.cosine = -1;
    const double value = confidence(features);
    if (value > best_confidence) {
      best_confidence = value;
      best = features;
    }
  }
  return best;
}

// A small logistic function over what the features mean: an answering passage repeats most of a
// question's weight, above all its rare words and names, and stands out from the others; a question
// about something that the notes never mention shares only common words with its nearest passage.
// The weights of the words' features were fitted on the German XQuAD (each half of the articles as
// the vault in turn; no answer: the other half, and the own article without the answering note) and
// rounded. Refusing what the notes do hold was counted twice as bad as answering beside the point.
// The weights of names (German capitals show none) and of meaning are set by hand. Nothing was
// fitted to the English evaluation.
double confidence(const ConfidenceFeatures& f) {
  double logit = 0;
  if (f.foreign) {
    // Words cannot meet across languages; names and numbers still do, and meaning decides.
    if (f.cosine < 0) return f.passage_share;
    logit = 12.0 * (f.cosine - 0.45) + 2.0 * f.passage_share;
  } else {
    logit = -1.5 + 3.7 * f.passage_share + 3.3 * f.sentence_share - 2.1 * f.missing_rare -
            2.0 * f.missing_names - 0.8 * f.missing_numbers - 0.3 * f.unknown + 2.1 * f.margin;
    // Pairs of characters meet by chance more often than words (set on the Chinese XQuAD).
    if (f.wide) logit -= 0.9;
    if (f.cosine >= 0) logit += 9.0 * (f.cosine - 0.47);
  }
  return 1 / (1 + std::exp(-logit));
}

}  // namespace knap::answer
