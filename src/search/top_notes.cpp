#include "top_notes.hpp"

#include <algorithm>
#include <utility>

namespace knap::search {
namespace {

/// Notes looked at together: their sums stay in the processor's first caches.
constexpr std::uint32_t kWindow = 2048;
/// Bounds are sums in another order than scores: what rounding may hide.
constexpr float kSlack = 1.0001F;
/// A word is only looked up, note by note, if it has so many times the entries of the rarer ones:
/// else adding it whole is quicker.
constexpr std::size_t kLookUpRatio = 8;

/// One term's values within one word.
struct TermList {
  TermUse use;
  const TermValues* values = nullptr;
  std::size_t at = 0, passage_at = 0;  ///< First entries at or behind the window.
};

/// A word's lists in one segment. Where several terms hold the word, the best counts.
struct WordList {
  std::vector<TermList> terms;
  std::size_t entries = 0;  ///< Of all lists.
  float bound = 0;          ///< No note gets more from this word.
};

/// The best so far, the worst of them on top.
class Best {
 public:
  Best(const State& state, std::size_t count) : state_(state), count_(count) {}

  std::size_t count() const { return count_; }
  /// A score below this has no place any more.
  float threshold() const { return hits_.size() < count_ ? 0 : hits_.front().score; }
  void add(const KeywordHit& hit) {
    if (hit.score <= 0) return;
    const auto order = [this](const KeywordHit& a, const KeywordHit& b) { return better(a, b); };
    if (hits_.size() == count_) {
      if (!better(hit, hits_.front())) return;
      std::pop_heap(hits_.begin(), hits_.end(), order);
      hits_.pop_back();
    }
    hits_.push_back(hit);
    std::push_heap(hits_.begin(), hits_.end(), order);
  }
  std::vector<KeywordHit> take() {
    std::sort(hits_.begin(), hits_.end(),
              [this](const KeywordHit& a, const KeywordHit& b) { return better(a, b); });
    return std::move(hits_);
  }

 private:
  NoteId id(const KeywordHit& hit) const {
    return state_.segments[hit.segment].segment->ids[hit.note];
  }
  bool better(const KeywordHit& a, const KeywordHit& b) const {
    return a.score != b.score ? a.score > b.score : id(a) < id(b);
  }
  const State& state_;
  const std::size_t count_;
  std::vector<KeywordHit> hits_;
};

/// A note of the window and what it can get at most.
struct Chance {
  float bound = 0;
  std::uint32_t note = 0;
};

/// The highest of several values at each place of a row.
class Most {
 public:
  void resize(std::size_t size) {
    if (values_.size() < size) values_.resize(size);
  }
  void add(std::uint32_t place, float value) {
    values_[place] = std::max(values_[place], value);
    begin_ = std::min(begin_, place);
    end_ = std::max(end_, place + 1);
  }
  /// Adds the values to others and forgets them.
  void move_to(std::vector<float>& sums) {
    for (std::uint32_t place = begin_; place < end_; ++place)
      sums[place] += std::exchange(values_[place], 0.0F);
    begin_ = kNone;
    end_ = 0;
  }

 private:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;
  std::vector<float> values_;
  std::uint32_t begin_ = kNone, end_ = 0;
};

/// The visit of one segment.
class Visit {
 public:
  Visit(const State& state, std::uint32_t number, const NoteSet* candidates,
        const KeywordScorer& scorer);
  std::uint64_t run(Best& best);
  /// One note, wherever the visit stands.
  KeywordHit score(std::uint32_t note);

 private:
  std::uint32_t next_note() const;
  void open_window();
  bool may_leave(std::size_t word) const;
  void add_word(WordList& word);
  std::uint64_t settle_window(Best& best);
  std::uint64_t look_up_rest(Best& best);
  std::pair<float, std::uint32_t> best_unit(std::uint32_t note) const;
  float bound_of(const WordList& word, std::uint32_t note) const;
  std::size_t find(const TermList& list, std::uint32_t note) const;
  bool speaks(const TermList& list, std::uint32_t note) const {
    return (bit(segment_.languages[note]) & list.use.languages) != 0;
  }
  /// Calls note(place, value) and passage(place, value) for the list's entries in the window.
  template <class Note, class Passage>
  void each(TermList& list, Note note, Passage passage);
  float mixed(float note, float passage) const { return (1 - share_) * note + share_ * passage; }

  const Segment& segment_;
  const std::uint32_t number_;
  const NoteSet* candidates_;
  const float share_;                         ///< Of the best passage in a note's score.
  std::vector<TermValueCache::Values> kept_;  ///< Keeps alive what the lists point to.
  std::vector<WordList> words_;               ///< In the order of the query.
  std::vector<std::size_t> by_bound_;         ///< Places in words_, by rising bound.
  std::vector<float> bounds_;                 ///< Sums of the bounds in that order.
  std::size_t left_ = 0;  ///< So many in that order are not added but looked up.

  std::uint32_t first_ = 0, end_ = 0;            ///< Notes of the window.
  std::uint32_t first_unit_ = 0, end_unit_ = 0;  ///< Their units.
  std::vector<float> sums_, unit_sums_;          ///< What the added words give to each.
  Most most_, most_units_;                       ///< The same of one word of several lists.
  std::vector<Chance> chances_;
};

Visit::Visit(const State& state, std::uint32_t number, const NoteSet* candidates,
             const KeywordScorer& scorer)
    : segment_(*state.segments[number].segment),
      number_(number),
      candidates_(candidates),
      share_(scorer.settings().passage_share) {
  std::vector<std::uint32_t> terms;
  for (const WeightedWord& word : scorer.words()) {
    WordList list;
    for (const TermUse& use : scorer.terms_of(number, segment_, word)) {
      list.terms.push_back({use});
      terms.push_back(use.term);
    }
    if (!list.terms.empty()) words_.push_back(std::move(list));
  }
  kept_ = segment_.term_values.of(segment_, terms, scorer);
  std::size_t next = 0;
  for (WordList& word : words_) {
    float most = 0, most_passage = 0;
    for (TermList& list : word.terms) {
      list.values = kept_[next++].get();
      // A note may take its own value from one term and its best passage's from another.
      most = std::max(most, list.use.gain * list.values->most);
      most_passage = std::max(most_passage, list.use.gain * list.values->most_passage);
      word.entries += list.values->notes.size() + list.values->passages.size();
    }
    word.bound = mixed(most, most_passage);
    by_bound_.push_back(by_bound_.size());
  }
  std::stable_sort(by_bound_.begin(), by_bound_.end(), [this](std::size_t a, std::size_t b) {
    return words_[a].bound < words_[b].bound;
  });
  float sum = 0;
  for (const std::size_t w : by_bound_) bounds_.push_back(sum += words_[w].bound);
}

/// The first note, at or behind the window's end, that one of the added words holds.
std::uint32_t Visit::next_note() const {
  std::uint32_t note = segment_.note_count();
  for (std::size_t i = left_; i < by_bound_.size(); ++i) {
    for (const TermList& list : words_[by_bound_[i]].terms)
      if (list.at < list.values->notes.size())
        note = std::min(note, list.values->notes[list.at].place);
  }
  return note;
}

void Visit::open_window() {
  end_ = std::min(first_ + kWindow, segment_.note_count());
  first_unit_ = segment_.first_unit[first_];
  end_unit_ = segment_.first_unit[end_];
  sums_.assign(end_ - first_, 0);
  unit_sums_.assign(end_unit_ - first_unit_, 0);
  most_.resize(sums_.size());
  most_units_.resize(unit_sums_.size());
}

template <class Note, class Passage>
void Visit::each(TermList& list, Note note, Passage passage) {
  const bool all = (segment_.languages_present & ~list.use.languages) == 0;
  const float gain = list.use.gain;
  const auto& notes = list.values->notes;
  for (; list.at < notes.size() && notes[list.at].place < end_; ++list.at) {
    const auto& [place, value] = notes[list.at];
    if (all || speaks(list, place)) note(place - first_, gain * value);
  }
  const auto& passages = list.values->passages;
  std::size_t& at = list.passage_at;
  // Where a window was passed by: its passages are behind.
  if (at < passages.size() && passages[at].place < first_unit_)
    at = static_cast<std::size_t>(
        std::lower_bound(
            passages.begin() + static_cast<std::ptrdiff_t>(at), passages.end(), first_unit_,
            [](const TermValues::Value& v, std::uint32_t unit) { return v.place < unit; }) -
        passages.begin());
  for (; at < passages.size() && passages[at].place < end_unit_; ++at) {
    const auto& [unit, value] = passages[at];
    if (all || speaks(list, segment_.unit_notes[unit])) passage(unit - first_unit_, gain * value);
  }
}

/// Adds a word to the sums of the window.
void Visit::add_word(WordList& word) {
  if (word.terms.size() == 1) {
    each(
        word.terms.front(), [this](std::uint32_t i, float value) { sums_[i] += value; },
        [this](std::uint32_t i, float value) { unit_sums_[i] += value; });
    return;
  }
  for (TermList& list : word.terms)
    each(
        list, [this](std::uint32_t i, float value) { most_.add(i, value); },
        [this](std::uint32_t i, float value) { most_units_.add(i, value); });
  most_.move_to(sums_);
  most_units_.move_to(unit_sums_);
}

/// The best passage of a note by the sums, and its unit.
std::pair<float, std::uint32_t> Visit::best_unit(std::uint32_t note) const {
  const std::uint32_t first = segment_.first_unit[note], end = segment_.first_unit[note + 1];
  std::uint32_t best = std::min(first + 1, end - 1);
  for (std::uint32_t unit = best; unit < end; ++unit)
    if (unit_sums_[unit - first_unit_] > unit_sums_[best - first_unit_]) best = unit;
  return {unit_sums_[best - first_unit_], best};
}

/// All words are added: the sums are the scores.
std::uint64_t Visit::settle_window(Best& best) {
  std::uint64_t scored = 0;
  for (std::uint32_t note = first_; note < end_; ++note) {
    const float sum = sums_[note - first_];
    if (sum <= 0 || (candidates_ != nullptr && !candidates_->test(note))) continue;
    ++scored;
    const auto [passage, unit] = best_unit(note);
    const float score = mixed(sum, passage);
    if (score >= best.threshold()) best.add({number_, note, unit, score});
  }
  return scored;
}

/// The entry of the note in the list, or its size.
std::size_t Visit::find(const TermList& list, std::uint32_t note) const {
  const auto& notes = list.values->notes;
  const auto entry = std::lower_bound(
      notes.begin(), notes.end(), note,
      [](const TermValues::Value& value, std::uint32_t place) { return value.place < place; });
  if (entry == notes.end() || entry->place != note || !speaks(list, note)) return notes.size();
  return static_cast<std::size_t>(entry - notes.begin());
}

/// What a word that is not in the sums gives to a note at most.
float Visit::bound_of(const WordList& word, std::uint32_t note) const {
  float most = 0, most_passage = 0;
  for (const TermList& list : word.terms) {
    const std::size_t at = find(list, note);
    if (at == list.values->notes.size()) continue;
    most = std::max(most, list.use.gain * list.values->notes[at].value);
    most_passage = std::max(most_passage, list.use.gain * list.values->most_passage);
  }
  return mixed(most, most_passage);
}

/// Some words are not added: looks them up for the notes that have a chance, the best first.
std::uint64_t Visit::look_up_rest(Best& best) {
  const float rest = bounds_[left_ - 1];
  chances_.clear();
  for (std::uint32_t note = first_; note < end_; ++note) {
    const float sum = sums_[note - first_];
    if (sum <= 0 || (candidates_ != nullptr && !candidates_->test(note))) continue;
    const float bound = mixed(sum, best_unit(note).first);
    if ((bound + rest) * kSlack >= best.threshold()) chances_.push_back({bound, note});
  }
  std::sort(chances_.begin(), chances_.end(), [](const Chance& a, const Chance& b) {
    return a.bound != b.bound ? a.bound > b.bound : a.note < b.note;
  });
  std::uint64_t scored = 0;
  for (const auto& [added, note] : chances_) {
    if ((added + rest) * kSlack < best.threshold()) break;
    float bound = added;
    bool hopeless = false;
    for (std::size_t i = left_; i-- > 0 && !hopeless;) {
      bound += bound_of(words_[by_bound_[i]], note);
      hopeless = (bound + (i > 0 ? bounds_[i - 1] : 0)) * kSlack < best.threshold();
    }
    if (hopeless) continue;
    ++scored;
    best.add(score(note));
  }
  return scored;
}

/// Whether a word may be left out of the sums: by its bound it cannot lift a note into the best,
/// and it is so common that looking it up costs less.
bool Visit::may_leave(std::size_t i) const {
  std::size_t others = 0;
  for (std::size_t k = i + 1; k < by_bound_.size(); ++k) others += words_[by_bound_[k]].entries;
  return words_[by_bound_[i]].entries > kLookUpRatio * others;
}

std::uint64_t Visit::run(Best& best) {
  std::uint64_t scored = 0;
  for (;;) {
    while (left_ < by_bound_.size() && bounds_[left_] * kSlack < best.threshold() &&
           (left_ + 1 == by_bound_.size() || may_leave(left_)))
      ++left_;
    first_ = next_note();
    if (first_ == segment_.note_count()) return scored;
    open_window();
    if (left_ == 0) {
      for (WordList& word : words_) add_word(word);
      scored += settle_window(best);
      continue;
    }
    for (std::size_t i = left_; i < by_bound_.size(); ++i) add_word(words_[by_bound_[i]]);
    scored += look_up_rest(best);
  }
}

/// Adds up what the lists say of one note, in the order of the query: the same sums as when all
/// notes are scored.
KeywordHit Visit::score(std::uint32_t note) {
  const std::uint32_t first = segment_.first_unit[note], end = segment_.first_unit[note + 1];
  std::vector<float> units(end - first), word_units;
  float sum = 0;
  for (const WordList& word : words_) {
    word_units.assign(end - first, 0);
    float most = 0;
    for (const TermList& list : word.terms) {
      const std::size_t at = find(list, note);
      if (at == list.values->notes.size()) continue;
      most = std::max(most, list.use.gain * list.values->notes[at].value);
      const auto& passages = list.values->passages;
      auto entry = std::lower_bound(
          passages.begin(), passages.end(), first,
          [](const TermValues::Value& value, std::uint32_t unit) { return value.place < unit; });
      for (; entry != passages.end() && entry->place < end; ++entry) {
        float& known = word_units[entry->place - first];
        known = std::max(known, list.use.gain * entry->value);
      }
    }
    sum += most;
    for (std::uint32_t i = 0; i < units.size(); ++i) units[i] += word_units[i];
  }
  KeywordHit hit{number_, note, std::min(first + 1, end - 1), 0};
  for (std::uint32_t unit = hit.unit; unit < end; ++unit)
    if (units[unit - first] > units[hit.unit - first]) hit.unit = unit;
  hit.score = mixed(sum, units[hit.unit - first]);
  return hit;
}

}  // namespace

std::vector<KeywordHit> best_notes(const State& state,
                                   const std::vector<const NoteSet*>& candidates,
                                   const KeywordScorer& scorer, std::uint32_t count,
                                   const std::vector<NamedNote>& named, std::uint64_t& scored) {
  Best best(state, count);
  scored = 0;
  for (std::uint32_t s = 0; s < state.segments.size(); ++s)
    scored += Visit(state, s, candidates[s], scorer).run(best);
  std::vector<KeywordHit> hits = best.take();
  for (const auto& [segment, note] : named) {
    const bool known = std::any_of(hits.begin(), hits.end(), [&](const KeywordHit& hit) {
      return hit.segment == segment && hit.note == note;
    });
    const bool wanted = candidates[segment] == nullptr || candidates[segment]->test(note);
    if (known || !wanted) continue;
    const KeywordHit hit = Visit(state, segment, candidates[segment], scorer).score(note);
    if (hit.score > 0) hits.push_back(hit);
  }
  return hits;
}

}  // namespace knap::search
