#include "fusion.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "phrase.hpp"

namespace knap::search {
namespace {

struct Candidate {
  float score = 0;
  std::uint32_t segment = 0, note = 0, unit = 0;
  float bm25 = 0, cosine = 0, dense = 0, phrase = 0;
  bool exact_name = false;
};

class Fusion {
 public:
  explicit Fusion(const FusionInput& input) : in_(input), settings_(input.query.ranking) {}
  std::vector<Hit> run(std::uint64_t& found);

 private:
  void normalise();
  void gather_notes(std::uint32_t s);
  void gather_passages(std::uint32_t s);
  Candidate note_candidate(std::uint32_t s, std::uint32_t note,
                           DenseScores::NoteBest nearest) const;
  bool passes_by(std::uint32_t s, std::uint32_t note, float cosine);
  void weigh(Candidate& candidate, Language language) const;
  void add(Candidate candidate, Language language);
  void make_exact();
  void add_phrases();
  void gather_best();
  bool has_keywords() const { return in_.keyword != nullptr || in_.best != nullptr; }
  void lift_names();
  void sort(std::size_t count);
  Hit to_hit(const Candidate& candidate) const;

  float keyword_of(std::uint32_t s, std::uint32_t note, std::uint32_t unit) const;
  float dense_weight(Language language) const;
  float dense_weight_of(Language language) const {
    return dense_weights_[static_cast<std::size_t>(language)];
  }
  std::uint32_t best_unit(const KeywordScores& scores, const Segment& segment,
                          std::uint32_t note) const;
  NoteId id(const Candidate& c) const { return in_.state.segments[c.segment].segment->ids[c.note]; }

  const FusionInput& in_;
  const RankingSettings& settings_;
  std::vector<Candidate> found_;
  float keyword_top_ = 0;
  float dense_floor_ = 0, dense_span_ = 1;
  std::uint32_t model_languages_ = 0;
  std::array<float, kLanguagesMax> dense_weights_{};  ///< By language.
  std::vector<NamedNote> named_;
  std::size_t kept_ = 0;  ///< So many of the best are kept while gathering.
  float threshold_ = 0;   ///< Scores up to this are not among them.
  std::uint64_t found_count_ = 0;
  float top_ = 0;  ///< The highest score, kept or not.
};

std::uint32_t Fusion::best_unit(const KeywordScores& scores, const Segment& segment,
                                std::uint32_t note) const {
  const std::uint32_t first = segment.first_unit[note] + 1, end = segment.first_unit[note + 1];
  std::uint32_t best = std::min(first, end - 1);
  for (std::uint32_t unit = first; unit < end; ++unit)
    if (scores.units[unit] > scores.units[best]) best = unit;
  return best;
}

/// A note's own score mixed with its best passage's: long notes that touch each word somewhere do
/// not outrank a passage that holds them together.
float Fusion::keyword_of(std::uint32_t s, std::uint32_t note, std::uint32_t unit) const {
  const KeywordScores& scores = (*in_.keyword)[s];
  return (1 - settings_.passage_share) * scores.notes[note] +
         settings_.passage_share * scores.units[unit];
}

void Fusion::normalise() {
  for (const std::string& code : settings_.model_languages)
    model_languages_ |= bit(language_of(code));
  // Notes too short for their language to be known are taken for the model's.
  model_languages_ |= bit(Language::kUnknown);
  for (std::size_t i = 0; i < dense_weights_.size(); ++i)
    dense_weights_[i] = dense_weight(static_cast<Language>(i));
  if (in_.dense != nullptr && in_.dense->candidates > 0) {
    dense_floor_ =
        std::min(in_.dense->mean + settings_.dense_floor_deviations * in_.dense->deviation,
                 in_.dense->best - 1e-3F);
    // The best passage counts 1 only when it is as near as a sure match of this model.
    dense_span_ = std::max(in_.dense->best, settings_.dense_sure_cosine) - dense_floor_;
    dense_span_ = std::max(dense_span_, 1e-3F);
  }
}

float Fusion::dense_weight(Language language) const {
  if (in_.dense == nullptr) return 0;
  if (!has_keywords()) return 1;
  const bool all = settings_.model_languages.empty();
  // A model of some languages meets questions in them; words that no note holds are typing errors
  // or names there, which meaning does not know either.
  if (!all && (model_languages_ & bit(language)) != 0) return settings_.dense_weight;
  // The fewer of the query's words the notes hold, the likelier it is in another language than
  // they.
  const float usual = all ? settings_.dense_weight : settings_.dense_weight_foreign;
  return usual + in_.unknown_share * std::max(0.0F, settings_.dense_weight_unknown - usual);
}

void Fusion::weigh(Candidate& candidate, Language language) const {
  const float weight = dense_weight_of(language);
  const float keyword = keyword_top_ > 0 ? candidate.bm25 / keyword_top_ : 0;
  if (candidate.cosine != kNoCosine)
    candidate.dense = std::clamp((candidate.cosine - dense_floor_) / dense_span_, 0.0F, 1.0F);
  candidate.score = (1 - weight) * keyword + weight * candidate.dense;
}

void Fusion::add(Candidate candidate, Language language) {
  weigh(candidate, language);
  if (candidate.score <= 0) return;
  ++found_count_;
  top_ = std::max(top_, candidate.score);
  candidate.exact_name =
      !named_.empty() && std::binary_search(named_.begin(), named_.end(),
                                            std::pair{candidate.segment, candidate.note});
  if (candidate.score < threshold_ && !candidate.exact_name) return;
  found_.push_back(candidate);
  if (found_.size() < kept_ * 4) return;
  // Most notes have some cosine: only the best so far are kept, and what cannot join them is passed
  // by.
  sort(kept_);
  threshold_ = found_[kept_ - 1].score;
  found_.resize(kept_);
}

void Fusion::gather_notes(std::uint32_t s) {
  const Segment& segment = *in_.state.segments[s].segment;
  for (std::uint32_t note = 0; note < segment.note_count(); ++note) {
    if (in_.candidates[s] != nullptr && !in_.candidates[s]->test(note)) continue;
    DenseScores::NoteBest nearest;
    if (in_.dense != nullptr) {
      const auto& per = in_.dense->segments[s];
      nearest = {per.notes[note], per.best_units[note]};
    }
    if (passes_by(s, note, nearest.cosine)) continue;
    const Candidate c = note_candidate(s, note, nearest);
    if (c.bm25 > 0 || c.cosine != kNoCosine) add(c, segment.languages[note]);
  }
}

// Whether a note that meaning alone speaks for cannot join the best; most notes are such. It counts
// as found.
bool Fusion::passes_by(std::uint32_t s, std::uint32_t note, float cosine) {
  if (!named_.empty() || cosine == kNoCosine) return false;
  if (in_.keyword != nullptr && (*in_.keyword)[s].notes[note] > 0) return false;
  const float weight = dense_weight_of(in_.state.segments[s].segment->languages[note]);
  const float score = weight * std::clamp((cosine - dense_floor_) / dense_span_, 0.0F, 1.0F);
  if (score > 0 && score >= threshold_) return false;
  found_count_ += score > 0 ? 1 : 0;
  return true;
}

Candidate Fusion::note_candidate(std::uint32_t s, std::uint32_t note,
                                 DenseScores::NoteBest nearest) const {
  const Segment& segment = *in_.state.segments[s].segment;
  Candidate c{
      .segment = s, .note = note, .unit = segment.first_unit[note], .cosine = nearest.cosine};
  float keyword_share = 0;
  if (in_.keyword != nullptr && (*in_.keyword)[s].notes[note] > 0) {
    c.unit = best_unit((*in_.keyword)[s], segment, note);
    c.bm25 = keyword_of(s, note, c.unit);
    keyword_share = c.bm25 / keyword_top_ * (1 - dense_weight_of(segment.languages[note]));
  }
  if (c.cosine == kNoCosine) return c;
  const float cosine_share =
      (c.cosine - dense_floor_) / dense_span_ * dense_weight_of(segment.languages[note]);
  // The place shown is that of the leg which carries the note.
  if (cosine_share > keyword_share) c.unit = nearest.unit;
  return c;
}

// The best by estimates are scored again without. Those that meaning alone brings here are exact
// already; words may bring others.
void Fusion::make_exact() {
  sort(kept_);
  found_.resize(std::min(kept_, found_.size()));
  top_ = 0;
  const auto& rescored = in_.dense->rescored;
  for (Candidate& c : found_) {
    if (!std::ranges::binary_search(rescored, std::pair{c.segment, c.note})) {
      const bool exact_name = c.exact_name;
      c = note_candidate(c.segment, c.note, in_.dense->note_cosine(in_.state, c.segment, c.note));
      weigh(c, in_.state.segments[c.segment].segment->languages[c.note]);
      c.exact_name = exact_name;
    }
    top_ = std::max(top_, c.score);
  }
  std::erase_if(found_, [](const Candidate& c) { return c.score <= 0; });
}

void Fusion::gather_passages(std::uint32_t s) {
  const Segment& segment = *in_.state.segments[s].segment;
  for (std::uint32_t unit = 0; unit < segment.unit_count(); ++unit) {
    const std::uint32_t note = segment.unit_notes[unit];
    const bool only_header = segment.first_unit[note + 1] == unit + 1;
    if (segment.is_header(unit) && !only_header) continue;
    if (in_.candidates[s] != nullptr && !in_.candidates[s]->test(note)) continue;
    Candidate c{.segment = s, .note = note, .unit = unit, .cosine = kNoCosine};
    if (in_.keyword != nullptr) {
      // A passage is also worth what its note's names say; the note's other passages do not count
      // for it.
      const KeywordScores& scores = (*in_.keyword)[s];
      const bool first = unit == segment.first_unit[note] + 1 || only_header;
      if (scores.units[unit] > 0 || (first && scores.notes[note] > 0))
        c.bm25 = keyword_of(s, note, unit);
    }
    if (in_.dense != nullptr) c.cosine = in_.dense->passage_cosine(in_.state, s, unit);
    if (c.bm25 > 0 || c.cosine != kNoCosine) add(c, segment.languages[note]);
  }
}

void Fusion::gather_best() {
  for (const KeywordHit& hit : *in_.best) {
    const Segment& segment = *in_.state.segments[hit.segment].segment;
    add({.segment = hit.segment,
         .note = hit.note,
         .unit = hit.unit,
         .bm25 = hit.score,
         .cosine = kNoCosine},
        segment.languages[hit.note]);
  }
}

void Fusion::sort(std::size_t count) {
  count = std::min(count, found_.size());
  const auto better = [&](const Candidate& a, const Candidate& b) {
    if (a.exact_name != b.exact_name) return a.exact_name;
    if (a.score != b.score) return a.score > b.score;
    const NoteId left = id(a), right = id(b);
    return left != right ? left < right : a.unit < b.unit;
  };
  std::partial_sort(found_.begin(), found_.begin() + static_cast<std::ptrdiff_t>(count),
                    found_.end(), better);
}

void Fusion::add_phrases() {
  if (!has_keywords() || settings_.phrase_bonus <= 0 || in_.words.size() < 2) return;
  sort(kPhraseCandidates);
  const std::size_t count = std::min<std::size_t>(kPhraseCandidates, found_.size());
  for (std::uint32_t s = 0; s < in_.state.segments.size(); ++s) {
    std::vector<std::pair<std::uint32_t, std::size_t>> places;
    for (std::size_t i = 0; i < count; ++i)
      if (found_[i].segment == s && found_[i].bm25 > 0) places.emplace_back(found_[i].unit, i);
    if (places.empty()) continue;
    std::sort(places.begin(), places.end());
    std::vector<std::uint32_t> units;
    for (const auto& place : places) units.push_back(place.first);
    const auto shares = phrase_shares(*in_.state.segments[s].segment, s, in_.words, units);
    for (std::size_t i = 0; i < places.size(); ++i) {
      Candidate& c = found_[places[i].second];
      const Language language = in_.state.segments[s].segment->languages[c.note];
      c.phrase = settings_.phrase_bonus * shares[i] * c.bm25 / keyword_top_ *
                 (1 - dense_weight_of(language));
      c.score += c.phrase;
    }
  }
  for (std::size_t i = 0; i < count; ++i) top_ = std::max(top_, found_[i].score);
  if (top_ <= 1) return;
  for (Candidate& c : found_) c.score /= top_;
  top_ = 1;
}

/// Named notes come first by the order; their scores are lifted so that they read so too.
void Fusion::lift_names() {
  for (Candidate& c : found_)
    if (c.exact_name) c.score = 0.5F * (top_ + c.score);
}

Hit Fusion::to_hit(const Candidate& c) const {
  const Segment& segment = *in_.state.segments[c.segment].segment;
  Hit hit;
  hit.note = segment.ids[c.note];
  const std::uint32_t header = segment.first_unit[c.note];
  hit.passage = c.unit > header ? c.unit - header - 1 : 0;
  hit.score = std::clamp(c.score, 0.0F, 1.0F);
  hit.parts.bm25 = c.bm25;
  hit.parts.bm25_normalised =
      in_.keyword_limit > 0 ? std::min(1.0F, c.bm25 / in_.keyword_limit) : 0;
  hit.parts.cosine = c.cosine == kNoCosine ? 0 : c.cosine;
  hit.parts.dense_normalised = c.dense;
  hit.parts.phrase = c.phrase;
  hit.parts.prior = c.exact_name ? 1.0F : 0.0F;
  if (!in_.query.explain || in_.keyword == nullptr) return hit;
  const KeywordScores& scores = (*in_.keyword)[c.segment];
  for (std::size_t w = 0; w < scores.by_word.size(); ++w) {
    float share = 0;
    for (const auto& [note, value] : scores.by_word[w])
      if (note == c.note) share += value;
    if (share > 0) hit.parts.terms.emplace_back(in_.terms.words[w].shown, share);
  }
  return hit;
}

std::vector<Hit> Fusion::run(std::uint64_t& found) {
  normalise();
  if (has_keywords()) named_ = notes_named(in_.state, in_.query, in_.terms);
  const bool estimated = in_.dense != nullptr && in_.dense->estimated;
  kept_ = std::size_t{std::max(in_.query.limit, kPhraseCandidates)} * (estimated ? 3 : 2);
  const bool notes = in_.query.group == Group::kNote;
  if (in_.keyword != nullptr) {
    for (std::uint32_t s = 0; s < in_.state.segments.size(); ++s) {
      const Segment& segment = *in_.state.segments[s].segment;
      for (std::uint32_t note = 0; note < segment.note_count(); ++note)
        if ((*in_.keyword)[s].notes[note] > 0)
          keyword_top_ = std::max(keyword_top_,
                                  keyword_of(s, note, best_unit((*in_.keyword)[s], segment, note)));
    }
  }
  if (in_.best != nullptr) {
    for (const KeywordHit& hit : *in_.best) keyword_top_ = std::max(keyword_top_, hit.score);
    gather_best();
  } else {
    for (std::uint32_t s = 0; s < in_.state.segments.size(); ++s)
      notes ? gather_notes(s) : gather_passages(s);
  }
  found = found_count_;
  if (estimated) make_exact();
  add_phrases();
  lift_names();
  sort(in_.query.limit);
  std::vector<Hit> hits;
  for (std::size_t i = 0; i < std::min<std::size_t>(in_.query.limit, found_.size()); ++i)
    hits.push_back(to_hit(found_[i]));
  return hits;
}

}  // namespace

std::vector<NamedNote> notes_named(const State& state, const Query& query,
                                   const QueryTerms& terms) {
  std::vector<NamedNote> named;
  if (!terms.phrases.empty()) return named;
  const std::uint64_t hash = name_hash(query.text);
  for (std::uint32_t s = 0; s < state.segments.size(); ++s) {
    const auto& names = state.segments[s].segment->names;
    for (auto it = std::lower_bound(names.begin(), names.end(), std::pair{hash, 0U});
         it != names.end() && it->first == hash; ++it)
      named.emplace_back(s, it->second);
  }
  std::sort(named.begin(), named.end());
  return named;
}

std::vector<Hit> fuse(const FusionInput& input, std::uint64_t& found) {
  return Fusion(input).run(found);
}

}  // namespace knap::search
