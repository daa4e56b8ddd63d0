#include "keyword.hpp"

#include <algorithm>
#include <cmath>

namespace knap::search {
namespace {

/// How much a word that only begins like the last query word counts.
constexpr float kPrefixWeight = 0.4F;
/// Dictionary entries looked at for one prefix.
constexpr std::uint32_t kPrefixScanMax = 4096;

/// Average lengths enter the formula in steps of about 1 %: an edit changes them by less, and what
/// was computed with them still holds.
float stepped(float average) {
  constexpr float kStepsPerDoubling = 64;
  return std::exp2(std::round(std::log2(average) * kStepsPerDoubling) / kStepsPerDoubling);
}

constexpr std::uint32_t bit_of(Field field) { return 1U << static_cast<unsigned>(field); }

}  // namespace

float bm25_idf(std::uint64_t notes, std::uint64_t with_term) {
  const double n = static_cast<double>(std::min(notes, with_term));
  return static_cast<float>(std::log(1.0 + (static_cast<double>(notes) - n + 0.5) / (n + 0.5)));
}

float TermFormula::note(std::uint32_t body, bool heading, std::uint32_t fields,
                        std::uint32_t note_length) const {
  const RankingSettings& s = *settings;
  float tf = s.weight_body * static_cast<float>(body) /
             (flat + note_slope * static_cast<float>(note_length));
  if (heading) tf += s.weight_headings;
  if ((fields & bit_of(Field::kTitle)) != 0) tf += s.weight_title;
  if ((fields & bit_of(Field::kAlias)) != 0) tf += s.weight_aliases;
  if ((fields & bit_of(Field::kTag)) != 0) tf += s.weight_tags;
  if ((fields & bit_of(Field::kPath)) != 0) tf += s.weight_path;
  if ((fields & bit_of(Field::kFaint)) != 0) tf += s.weight_boilerplate;
  return tf / (tf + k1);
}

std::vector<Expansion> expand_prefix(const Segment& segment, std::string_view prefix) {
  auto [begin, end] = segment.prefix_range(prefix);
  end = std::min(end, begin + kPrefixScanMax);
  std::vector<std::uint32_t> terms;
  for (std::uint32_t term = begin; term < end; ++term)
    if (segment.term_text(term).size() > prefix.size()) terms.push_back(term);
  if (terms.size() > kPrefixExpansionsMax) {
    std::nth_element(terms.begin(), terms.begin() + kPrefixExpansionsMax, terms.end(),
                     [&](std::uint32_t a, std::uint32_t b) {
                       return segment.terms[a].notes != segment.terms[b].notes
                                  ? segment.terms[a].notes > segment.terms[b].notes
                                  : a < b;
                     });
    terms.resize(kPrefixExpansionsMax);
  }
  std::vector<Expansion> expansions;
  for (const std::uint32_t term : terms) {
    const auto length = static_cast<float>(segment.term_text(term).size());
    expansions.push_back({term, kPrefixWeight * static_cast<float>(prefix.size()) / length});
  }
  return expansions;
}

std::vector<HeldVariant> held_variants(const Segment& segment, std::span<const Variant> variants) {
  std::vector<HeldVariant> held;
  for (const Variant& variant : variants)
    if (const std::int64_t term = segment.find(variant.term); term >= 0)
      held.push_back({static_cast<std::uint32_t>(term), variant.languages});
  return held;
}

/// Working state of one segment.
struct KeywordScorer::Pass {
  const Segment& segment;
  const NoteSet* candidates;
  KeywordScores& out;
  /// Best value of the current word per note and unit, when several terms compete for it.
  std::vector<float> word_notes, word_units;
  std::vector<std::uint32_t> touched_notes, touched_units;
  bool competing = false;
  std::vector<std::pair<std::uint32_t, float>>* parts = nullptr;

  void add_note(std::uint32_t note, float value) {
    if (competing) {
      if (word_notes[note] == 0) touched_notes.push_back(note);
      word_notes[note] = std::max(word_notes[note], value);
      return;
    }
    out.notes[note] += value;
    if (parts != nullptr) parts->emplace_back(note, value);
  }
  void add_unit(std::uint32_t unit, float value) {
    if (competing) {
      if (word_units[unit] == 0) touched_units.push_back(unit);
      word_units[unit] = std::max(word_units[unit], value);
      return;
    }
    out.units[unit] += value;
  }
  void settle() {
    for (const std::uint32_t note : touched_notes) {
      out.notes[note] += word_notes[note];
      if (parts != nullptr) parts->emplace_back(note, word_notes[note]);
      word_notes[note] = 0;
    }
    for (const std::uint32_t unit : touched_units) {
      out.units[unit] += word_units[unit];
      word_units[unit] = 0;
    }
    touched_notes.clear();
    touched_units.clear();
  }
};

KeywordScorer::KeywordScorer(const RankingSettings& settings, const Totals& totals,
                             std::vector<WeightedWord> words)
    : settings_(settings), words_(std::move(words)) {
  const auto words_total = static_cast<float>(totals.body_words);
  if (totals.notes > 0)
    average_note_ = stepped(std::max(1.0F, words_total / static_cast<float>(totals.notes)));
  if (totals.passages > 0)
    average_unit_ = stepped(std::max(1.0F, words_total / static_cast<float>(totals.passages)));
  for (const WeightedWord& word : words_)
    limit_ += word.idf * word.word->weight * (settings_.bm25_k1 + 1);
}

TermFormula KeywordScorer::formula() const {
  const float b = settings_.bm25_b, k1 = settings_.bm25_k1;
  return {k1, 1 - b, b / average_note_, b / average_unit_, &settings_};
}

std::vector<TermUse> KeywordScorer::terms_of(std::size_t number,
                                             const WeightedWord& weighted) const {
  const float most = weighted.word->weight * (settings_.bm25_k1 + 1);
  std::vector<TermUse> terms;
  for (const HeldVariant& variant : weighted.held[number])
    terms.push_back({variant.term, variant.languages, weighted.idf * most});
  if (weighted.expansions.empty()) return terms;
  for (const Expansion& expansion : weighted.expansions[number])
    terms.push_back({expansion.term, 0xFFFFFFFF, weighted.expansion_idf * most * expansion.share});
  return terms;
}

/// @param values  null: computed here, for wanted notes only
void KeywordScorer::add_term(Pass& pass, const TermUse& use, const TermValues* values) const {
  const Segment& segment = pass.segment;
  const bool all = pass.candidates == nullptr && (segment.languages_present & ~use.languages) == 0;
  const auto wanted = [&](std::uint32_t note) {
    return all || ((pass.candidates == nullptr || pass.candidates->test(note)) &&
                   (bit(segment.languages[note]) & use.languages) != 0);
  };
  const auto add_note = [&](std::uint32_t note, float value) {
    pass.add_note(note, use.gain * value);
  };
  const auto add_unit = [&](std::uint32_t unit, float value) {
    pass.add_unit(unit, use.gain * value);
  };
  if (values == nullptr) {
    each_value(segment, use.term, formula(), wanted, add_note, add_unit);
    return;
  }
  for (const TermValues::Note& note : values->notes)
    if (wanted(note.note)) add_note(note.note, note.value);
  for (const auto& [unit, value] : values->passages)
    if (wanted(segment.unit_notes[unit])) add_unit(unit, value);
}

void KeywordScorer::score(std::size_t number, const Segment& segment, const NoteSet* candidates,
                          bool keep_parts, KeywordScores& out) const {
  out.notes.assign(segment.note_count(), 0);
  out.units.assign(segment.unit_count(), 0);
  out.by_word.clear();
  if (keep_parts) out.by_word.resize(words_.size());
  Pass pass{segment, candidates, out, {}, {}, {}, {}, false, nullptr};
  for (std::size_t i = 0; i < words_.size(); ++i) {
    pass.parts = keep_parts ? &out.by_word[i] : nullptr;
    const std::vector<TermUse> uses = terms_of(number, words_[i]);
    std::vector<std::uint32_t> terms;
    for (const TermUse& use : uses) terms.push_back(use.term);
    const auto values = segment.term_values.of(segment, terms, *this);
    // Where several terms hold a word, the best counts.
    pass.competing = uses.size() > 1;
    if (pass.competing) {
      pass.word_notes.resize(segment.note_count());
      pass.word_units.resize(segment.unit_count());
    }
    for (std::size_t u = 0; u < uses.size(); ++u) add_term(pass, uses[u], values[u].get());
    if (pass.competing) pass.settle();
  }
}

}  // namespace knap::search
