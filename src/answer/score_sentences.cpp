#include "score_sentences.hpp"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "knap/base/text.hpp"

namespace knap::answer {
namespace {

// Weights of a candidate's score. Set by reasoning, then checked on the German XQuAD (docs comment
// in confidence.cpp); a sentence's own words come first, its meaning second.
constexpr float kOwn = 1.0F, kContext = 0.5F, kSequence = 0.15F, kExpected = 0.22F,
                kPassage = 0.35F, kCosine = 0.9F;
/// Credit for a word that stands beside the sentence and not in it.
constexpr float kNeighbourCredit = 0.5F, kHeadingCredit = 0.6F, kPassageCredit = 0.3F;
/// Of kCosine, where the model was not trained for the language: as the dense leg of search weighs
/// less there.
constexpr float kForeignCosine = 0.4F;
/// Taken off a sentence that only repeats the question ("See [[Models]]." asked about models).
constexpr float kNothingNew = 0.5F;
/// Taken off a table's row: cells without their head say less than a sentence.
constexpr float kTableRow = 0.15F;
constexpr std::size_t kTooShort = 4,
                      kTooLong = 60;  ///< Words: fragments, and runs without a full stop.
constexpr std::size_t kMaxCandidates = 512;

std::vector<float> find_terms(const Question& question, const std::vector<Word>& words) {
  std::vector<float> found(question.terms.size(), 0);
  for (std::size_t t = 0; t < found.size(); ++t) {
    const QuestionTerm& term = question.terms[t];
    for (const Word& word : words) {
      const bool exact_only = term.number || !word.number.empty() || word.cjk;
      const float like =
          exact_only ? (term.stem == word.stem ? 1.0F : 0.0F) : stem_likeness(term.stem, word.stem);
      found[t] = std::max(found[t], like);
      if (found[t] >= 1) break;
    }
  }
  return found;
}

void keep_larger(std::vector<float>& into, const std::vector<float>& from) {
  for (std::size_t i = 0; i < into.size(); ++i) into[i] = std::max(into[i], from[i]);
}

float share(const Question& question, const std::vector<float>& found) {
  if (question.weight <= 0) return 0;
  float sum = 0;
  for (std::size_t t = 0; t < found.size(); ++t) sum += question.terms[t].weight * found[t];
  return sum / question.weight;
}

/// Whether a content word stands here that the question does not hold. Words that only point
/// elsewhere ("see", "siehe") are none.
bool brings_news(const Question& question, const std::vector<Word>& words) {
  return std::ranges::any_of(words, [&](const Word& word) {
    const bool pointer = word.stem == "see" || word.stem == "sieh";
    return word.content && !pointer &&
           std::ranges::none_of(question.terms, [&](const QuestionTerm& term) {
             return stem_likeness(term.stem, word.stem) >= 1;
           });
  });
}

/// Share of the question's word pairs whose two words stand within three words of each other here.
float pairs_close(const Question& question, const std::vector<Word>& words) {
  if (question.terms.size() < 2) return 0;
  constexpr std::size_t kReach = 3;
  std::size_t close = 0;
  for (std::size_t t = 0; t + 1 < question.terms.size(); ++t) {
    bool here = false;
    for (std::size_t i = 0; i < words.size() && !here; ++i) {
      if (words[i].stem != question.terms[t].stem) continue;
      const std::size_t from = i < kReach ? 0 : i - kReach,
                        to = std::min(words.size(), i + kReach + 1);
      for (std::size_t j = from; j < to && !here; ++j)
        here = words[j].stem == question.terms[t + 1].stem;
    }
    close += here ? 1 : 0;
  }
  return static_cast<float>(close) / static_cast<float>(question.terms.size() - 1);
}

void score(Candidate& candidate, const PassageEvidence& passage) {
  const Sentence& sentence = passage.sentences[candidate.sentence];
  float score = kOwn * candidate.own + kContext * candidate.context +
                kSequence * candidate.sequence + kExpected * candidate.expected +
                kPassage * candidate.passage_score;
  if (candidate.cosine >= 0)
    score += (passage.meaning_fits ? 1 : kForeignCosine) * kCosine * candidate.cosine;
  if (candidate.words < kTooShort) score -= 0.25F;
  if (!candidate.news) score -= kNothingNew;
  if (candidate.words > kTooLong) score -= 0.1F;
  if (sentence.kind == Sentence::Kind::kTableRow) score -= kTableRow;
  if (sentence.plain.ends_with('?') || sentence.plain.ends_with("？")) score -= 0.25F;
  candidate.score = score;
}

/// Sentences of one passage become candidates.
void add_passage(Evidence& evidence, const index::SearchHit& hit, const Question& question,
                 WordReader& reader, float best_hit, std::unordered_set<std::string>& seen) {
  const index::PassageView& view = hit.passage;
  PassageEvidence passage;
  passage.hit = &hit;
  passage.question = &question;
  passage.sentences = split_sentences(view.text, view.lines.first, view.language);
  std::string heading = view.title + ". " + view.note_name;
  for (const std::string& part : view.headings) heading += ". " + part;
  passage.in_heading = find_terms(question, reader.read(heading));
  passage.in_passage = passage.in_heading;

  std::vector<Candidate> fresh;
  for (std::size_t s = 0; s < passage.sentences.size(); ++s) {
    Candidate candidate;
    candidate.passage = evidence.passages.size();
    candidate.sentence = s;
    const std::string& plain = passage.sentences[s].plain;
    const std::vector<Word> words = reader.read(plain);
    candidate.words = words.size();
    candidate.found = find_terms(question, words);
    candidate.own = share(question, candidate.found);
    candidate.sequence = pairs_close(question, words);
    candidate.news = brings_news(question, words);
    candidate.expected =
        holds_expected(question.expects, words, mark_names(words, plain, view.language), question);
    candidate.passage_score = best_hit > 0 ? std::clamp(hit.hit.score / best_hit, 0.0F, 1.0F) : 0;
    keep_larger(passage.in_passage, candidate.found);
    fresh.push_back(std::move(candidate));
  }
  for (std::size_t s = 0; s < fresh.size(); ++s) {
    std::vector<float> around(question.terms.size(), 0);
    for (std::size_t t = 0; t < around.size(); ++t) {
      float near = kPassageCredit * passage.in_passage[t];
      near = std::max(near, kHeadingCredit * passage.in_heading[t]);
      if (s > 0) near = std::max(near, kNeighbourCredit * fresh[s - 1].found[t]);
      if (s + 1 < fresh.size())
        near = std::max(near, 0.5F * kNeighbourCredit * fresh[s + 1].found[t]);
      around[t] = std::max(0.0F, near - fresh[s].found[t]);
    }
    fresh[s].context = share(question, around);
    // The same sentence in another note (templates, copies) adds nothing.
    const bool again = !seen.insert(text::fold(passage.sentences[s].plain)).second;
    if (!again && evidence.candidates.size() < kMaxCandidates)
      evidence.candidates.push_back(fresh[s]);
  }
  evidence.passages.push_back(std::move(passage));
}

}  // namespace

void rank(Evidence& evidence) {
  for (Candidate& candidate : evidence.candidates) {
    score(candidate, evidence.passages[candidate.passage]);
  }
  std::ranges::stable_sort(evidence.candidates, std::greater{}, &Candidate::score);
}

Evidence gather_evidence(std::string_view question, std::string_view borrowed,
                         const std::vector<index::SearchHit>& hits, const Rarity& rarity) {
  Evidence evidence;
  std::map<std::string, WordReader> readers;
  std::unordered_set<std::string> seen;
  const std::string guessed = guess_language(question, "");
  float best_hit = 0;
  for (const index::SearchHit& hit : hits) best_hit = std::max(best_hit, hit.hit.score);
  for (const index::SearchHit& hit : hits) {
    const std::string& language = hit.passage.language.empty() ? guessed : hit.passage.language;
    WordReader& reader = readers.try_emplace(language, language).first->second;
    auto& read = evidence.questions[language];
    if (!read) read = std::make_unique<Question>(read_question(question, borrowed, reader, rarity));
    add_passage(evidence, hit, *read, reader, best_hit, seen);
  }
  rank(evidence);
  return evidence;
}

}  // namespace knap::answer
