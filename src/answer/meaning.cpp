#include "meaning.hpp"

#include <algorithm>
#include <cmath>

#include "knap/base/text.hpp"

namespace knap::answer {
namespace {

using std::chrono::milliseconds;

/// Of one sentence: cost grows with length, meaning does not.
constexpr std::size_t kMaxEmbeddedBytes = 240;
/// Compared first while the pace is unknown.
constexpr std::size_t kFirstSentences = 4;
/// A second call for fewer sentences is not worth its way.
constexpr std::size_t kLeastSentences = 2;
constexpr int kRounds = 3;
/// Of the time left, planned for: the pace varies with the length of sentences.
constexpr float kPlanned = 0.7F;
/// Of a new measurement in the pace.
constexpr float kNewShare = 0.3F;
/// A sentence that was not reached counts as near as its passage, less a little.
constexpr float kOfPassage = 0.9F;

float dot(std::span<const float> a, std::span<const float> b) {
  float sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return std::isfinite(sum) ? std::clamp(sum, 0.0F, 1.0F) : 0;
}

/// Sentences [first, first + count) of the candidates.
std::string compare(Evidence& evidence, std::size_t first, std::size_t count,
                    models::Embedder& embedder, const std::vector<float>& question, Deadline budget,
                    const CancelToken& cancel) {
  std::vector<std::string> texts;
  for (std::size_t i = first; i < first + count; ++i) {
    const Candidate& candidate = evidence.candidates[i];
    const PassageEvidence& passage = evidence.passages[candidate.passage];
    texts.emplace_back(
        text::truncate(passage.sentences[candidate.sentence].plain, kMaxEmbeddedBytes));
  }
  const auto embedded = embedder.embed(texts, models::InputKind::kPassage,
                                       models::Priority::kInteractive, budget, cancel);
  if (!embedded) return "sentence meaning: " + embedded.error().message;
  if (embedded->dimensions != question.size() ||
      embedded->values.size() < count * embedded->dimensions) {
    return "sentence meaning: the model changed while the question was answered";
  }
  for (std::size_t i = 0; i < count; ++i)
    evidence.candidates[first + i].cosine = dot(embedded->row(i), question);
  return {};
}

void mark_known_languages(Evidence& evidence, const std::vector<std::string>& known) {
  for (PassageEvidence& passage : evidence.passages) {
    const std::string& language = passage.hit->passage.language;
    passage.meaning_fits =
        language.empty() || std::ranges::any_of(known, [&](const std::string& one) {
          return one == "*" || one == language;
        });
  }
}

}  // namespace

std::size_t SentenceMeanings::how_many(milliseconds left) const {
  const float pace = ms_per_sentence_.load(std::memory_order_relaxed);
  if (pace <= 0) return kFirstSentences;
  const float fit = kPlanned * static_cast<float>(left.count()) / pace;
  return static_cast<std::size_t>(std::clamp(fit, 0.0F, static_cast<float>(kMaxSentences)));
}

void SentenceMeanings::learn(std::size_t sentences, milliseconds took) {
  const float pace = std::max(0.5F, static_cast<float>(took.count())) /
                     static_cast<float>(std::max<std::size_t>(1, sentences));
  const float before = ms_per_sentence_.load(std::memory_order_relaxed);
  ms_per_sentence_.store(before <= 0 ? pace : before + kNewShare * (pace - before),
                         std::memory_order_relaxed);
}

std::string SentenceMeanings::add_cosines(Evidence& evidence, models::Embedder& embedder,
                                          const std::vector<float>& question_embedding,
                                          Deadline budget, const CancelToken& cancel) {
  const std::size_t most = std::min(evidence.candidates.size(), kMaxSentences);
  if (most == 0 || question_embedding.empty()) return {};
  std::size_t compared = 0;
  std::string failure;
  for (int round = 0; round < kRounds && compared < most; ++round) {
    const milliseconds left{budget.remaining_ms()};
    std::size_t count = how_many(left);
    // The best few are always tried: they decide the answer.
    if (round == 0) count = std::max(count, kLeastSentences);
    count = std::min(count, most - compared);
    if (count < std::min(kLeastSentences, most - compared)) break;
    const auto start = SteadyClock::now();
    failure = compare(evidence, compared, count, embedder, question_embedding, budget, cancel);
    learn(count, std::chrono::duration_cast<milliseconds>(SteadyClock::now() - start));
    if (!failure.empty()) break;
    compared += count;
  }
  if (compared == 0) return failure;
  mark_known_languages(evidence, embedder.languages());
  for (std::size_t i = compared; i < evidence.candidates.size(); ++i) {
    const float passage = evidence.passages[evidence.candidates[i].passage].hit->hit.parts.cosine;
    // Beyond the dozen that could be compared a sentence keeps its place below.
    evidence.candidates[i].cosine = i < most ? kOfPassage * std::clamp(passage, 0.0F, 1.0F) : 0;
  }
  rank(evidence);
  return {};
}

}  // namespace knap::answer
