#include "top_notes.hpp"

#include <algorithm>
#include <span>
#include <utility>

#include "term_list.hpp"

namespace knap::search {
namespace {

/// Notes looked at together: their bounds stay in the processor's first caches.
constexpr std::uint32_t kWindow = 4096;
/// A block is so many notes of a window, a column apart: the highest bound of each block is found
/// by comparing rows.
constexpr std::uint32_t kRows = 16;
/// Bounds are sums in another order than scores: what rounding may hide.
constexpr float kSlack = 1.0001F;
/// A word is only looked up, note by note, if it stands in so many times the notes of the rarer
/// ones: else adding its bounds is quicker.
constexpr std::size_t kLookUpRatio = 8;
/// When so many notes of a window were scored one by one and others still have a chance, as with
/// hundreds of equal notes, all are scored together.
constexpr std::uint64_t kScoredSinglyMax = 64;

/// A word's lists in one segment. Where several terms hold the word, the best counts.
struct WordList {
  std::vector<TermList> terms;
  std::size_t notes = 0;  ///< Of all lists.
  float bound = 0;        ///< No note gets more from this word.
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

/// The numbers of one window of notes. Each thread that searches keeps its own from search to
/// search: made anew, they would be most of what a search allocates, and the holes that they leave
/// between what stays (cached results) make the process grow.
struct WindowSums {
  /// What words give to a note and, at most, to its best passage.
  struct Sum {
    float note = 0, passage = 0;
  };
  std::vector<Sum> sums;  ///< Of the added words, by note; in kRows rows.
  std::vector<Sum> word;  ///< The highest of one word of several lists.
  std::vector<float>
      most;  ///< What the added words give at most to each note, its passages mixed in.
  std::vector<float> highest;                           ///< Of each block.
  std::vector<std::pair<float, std::uint32_t>> blocks;  ///< (highest bound, column): a heap.
  /// When all are scored together.
  std::vector<float> notes, units, word_notes, word_units;

  /// The units of a window have no limit but the segment's: so much of them is kept.
  void trim() {
    constexpr std::size_t kUnitsKept = 1U << 17;
    for (auto* each : {&units, &word_units})
      if (each->capacity() > kUnitsKept) std::vector<float>().swap(*each);
  }
};

/// The visit of one segment, in two steps for each window of notes: what the words give to each
/// note and, at most, to its passages is added up from the notes' own values and their best
/// passages for each word; notes that have a chance by that, the best first, are then scored
/// exactly, passage by passage.
class Visit {
 public:
  Visit(const State& state, std::uint32_t number, const NoteSet* candidates,
        const KeywordScorer& scorer, WindowSums& work);
  std::uint64_t run(Best& best);
  /// One note, wherever the visit stands.
  KeywordHit score(std::uint32_t note);

 private:
  void open(const KeywordScorer& scorer);
  std::uint32_t next_note() const;
  void open_window();
  bool may_leave(std::size_t word) const;
  void add_sums(WordList& word);
  void add_all(WordList& word);
  std::uint64_t settle_together(Best& best);
  KeywordHit finish(std::uint32_t note, float sum, std::span<const float> units) const;
  KeywordHit settle(std::uint32_t note);
  void drop_others();
  std::uint64_t settle_window(Best& best);
  float settle_block(std::uint32_t column, float least, Best& best, std::uint64_t& scored);
  bool has_chance(std::uint32_t note, float bound, float threshold);
  float look_up_bound(WordList& word, std::uint32_t note);
  float add_exactly(WordList& word, std::uint32_t note);
  float mixed(float note, float passage) const { return (1 - share_) * note + share_ * passage; }
  /// What the words that are not added can give.
  float rest() const { return left_ > 0 ? bounds_[left_ - 1] : 0; }

  const Segment& segment_;
  const std::uint32_t number_;
  const NoteSet* candidates_;
  const float share_;                  ///< Of the best passage in a note's score.
  std::vector<WordList> words_;        ///< In the order of the query.
  std::vector<std::size_t> by_bound_;  ///< Places in words_, by rising bound.
  std::vector<float> bounds_;          ///< Sums of the bounds in that order.
  std::size_t left_ = 0;               ///< So many in that order are not added but looked up.

  std::uint32_t first_ = 0, end_ = 0;  ///< Notes of the window.
  std::uint32_t columns_ = 0;
  WindowSums& work_;
  std::vector<float> passages_, competing_;  ///< Of the note that is scored.
};

Visit::Visit(const State& state, std::uint32_t number, const NoteSet* candidates,
             const KeywordScorer& scorer, WindowSums& work)
    : segment_(*state.segments[number].segment),
      number_(number),
      candidates_(candidates),
      share_(scorer.settings().passage_share),
      work_(work) {
  open(scorer);
  for (std::size_t w = 0; w < words_.size(); ++w) by_bound_.push_back(w);
  std::stable_sort(by_bound_.begin(), by_bound_.end(), [this](std::size_t a, std::size_t b) {
    return words_[a].bound < words_[b].bound;
  });
  float sum = 0;
  for (const std::size_t w : by_bound_) bounds_.push_back(sum += words_[w].bound);
}

void Visit::open(const KeywordScorer& scorer) {
  std::vector<std::vector<TermUse>> uses;
  std::vector<std::uint32_t> terms;
  for (const WeightedWord& word : scorer.words()) {
    uses.push_back(scorer.terms_of(number_, word));
    for (const TermUse& use : uses.back()) terms.push_back(use.term);
  }
  auto values = segment_.term_values.of(segment_, terms, scorer);
  const TermFormula formula = scorer.formula();
  auto next = values.begin();
  for (const std::vector<TermUse>& of_word : uses) {
    if (of_word.empty()) continue;
    WordList word;
    word.terms.reserve(of_word.size());
    float most = 0, most_passage = 0;
    for (const TermUse& use : of_word) {
      const TermList& list = word.terms.emplace_back(segment_, use, std::move(*next++), formula);
      // A note may take its own value from one term and its best passage's from another.
      most = std::max(most, list.most());
      most_passage = std::max(most_passage, list.most_passage());
      word.notes += list.notes();
    }
    word.bound = mixed(most, most_passage);
    words_.push_back(std::move(word));
  }
}

/// The first note, at or behind the window's end, that one of the added words holds.
std::uint32_t Visit::next_note() const {
  std::uint32_t note = segment_.note_count();
  for (std::size_t i = left_; i < by_bound_.size(); ++i)
    for (const TermList& list : words_[by_bound_[i]].terms) note = std::min(note, list.next_note());
  return note;
}

void Visit::open_window() {
  end_ = std::min(first_ + kWindow, segment_.note_count());
  columns_ = (end_ - first_ + kRows - 1) / kRows;
  const std::size_t size = std::size_t{columns_} * kRows;
  work_.sums.assign(size, {});
  work_.most.resize(size);
}

/// Adds what a word gives to the notes of the window and, at most, to their passages.
void Visit::add_sums(WordList& word) {
  using Sum = WindowSums::Sum;
  Sum* const sums = work_.sums.data();
  const std::uint32_t first = first_;
  if (word.terms.size() == 1) {
    word.terms.front().read_until(end_, [=](std::uint32_t note, float value, float passage) {
      Sum& sum = sums[note - first];
      sum = {sum.note + value, sum.passage + passage};
    });
    return;
  }
  work_.word.assign(end_ - first_, {});
  Sum* const most = work_.word.data();
  for (TermList& list : word.terms) {
    list.read_until(end_, [=](std::uint32_t note, float value, float passage) {
      Sum& sum = most[note - first];
      sum = {std::max(sum.note, value), std::max(sum.passage, passage)};
    });
  }
  for (std::uint32_t i = 0; i < end_ - first; ++i)
    sums[i] = {sums[i].note + most[i].note, sums[i].passage + most[i].passage};
}

/// Notes that the filter leaves out have no chance.
void Visit::drop_others() {
  for (std::uint32_t note = first_; note < end_; ++note)
    if (work_.sums[note - first_].note > 0 && !candidates_->test(note))
      work_.sums[note - first_] = {};
}

/// The highest of what a word that is not added can give to a note.
float Visit::look_up_bound(WordList& word, std::uint32_t note) {
  float most = 0, most_passage = 0;
  for (TermList& list : word.terms) {
    const TermList::Found found = list.look_up(note);
    most = std::max(most, found.value);
    for (const TermValues::Passage& passage : found.passages)
      most_passage = std::max(most_passage, list.gain() * passage.value);
  }
  return mixed(most, most_passage);
}

/// Looks up the words that are not added, the weightiest first, while there is a chance.
bool Visit::has_chance(std::uint32_t note, float bound, float threshold) {
  for (std::size_t i = left_;; --i) {
    if ((bound + (i > 0 ? bounds_[i - 1] : 0)) * kSlack < threshold) return false;
    if (i == 0) return true;
    bound += look_up_bound(words_[by_bound_[i - 1]], note);
  }
}

/// A note's score from its own sum and those of its units: the best passage counts too.
KeywordHit Visit::finish(std::uint32_t note, float sum, std::span<const float> units) const {
  const std::uint32_t first = segment_.first_unit[note];
  std::size_t best = std::min<std::size_t>(1, units.size() - 1);
  for (std::size_t unit = best; unit < units.size(); ++unit)
    if (units[unit] > units[best]) best = unit;
  return {number_, note, first + static_cast<std::uint32_t>(best), mixed(sum, units[best])};
}

/// The score of a note of the window. Where all words are added, the sums are those of score(), and
/// a single passage's as well.
KeywordHit Visit::settle(std::uint32_t note) {
  const std::uint32_t first = segment_.first_unit[note], end = segment_.first_unit[note + 1];
  if (left_ > 0 || end - first > 2) return score(note);
  return {number_, note, end - 1, work_.most[note - first_]};
}

/// Scores the notes of a block whose bound is at least `least`.
/// @return the highest bound among the others; 0: none is left
float Visit::settle_block(std::uint32_t column, float least, Best& best, std::uint64_t& scored) {
  float highest = 0;
  for (std::uint32_t i = column; i < end_ - first_; i += columns_) {
    if (work_.most[i] < least) {
      highest = std::max(highest, work_.most[i]);
      continue;
    }
    if (has_chance(first_ + i, work_.most[i], best.threshold())) {
      ++scored;
      best.add(settle(first_ + i));
    }
    work_.most[i] = 0;
  }
  return highest;
}

/// Adds all that a word gives to the notes and units of the window.
void Visit::add_all(WordList& word) {
  const std::uint32_t first = first_, first_unit = segment_.first_unit[first_];
  if (word.terms.size() == 1) {
    float *const notes = work_.notes.data(), *const units = work_.units.data();
    word.terms.front().read_all(
        first_, end_, [=](std::uint32_t note, float value) { notes[note - first] += value; },
        [=](std::uint32_t unit, float value) { units[unit - first_unit] += value; });
    return;
  }
  work_.word_notes.assign(work_.notes.size(), 0);
  work_.word_units.assign(work_.units.size(), 0);
  float *const notes = work_.word_notes.data(), *const units = work_.word_units.data();
  const auto raise = [](float& most, float value) { most = std::max(most, value); };
  for (TermList& list : word.terms) {
    list.read_all(
        first_, end_, [=](std::uint32_t note, float value) { raise(notes[note - first], value); },
        [=](std::uint32_t unit, float value) { raise(units[unit - first_unit], value); });
  }
  for (std::size_t i = 0; i < work_.notes.size(); ++i) work_.notes[i] += notes[i];
  for (std::size_t i = 0; i < work_.units.size(); ++i) work_.units[i] += units[i];
}

/// Scores all notes of the window that still have a chance.
std::uint64_t Visit::settle_together(Best& best) {
  const std::uint32_t first_unit = segment_.first_unit[first_];
  work_.notes.assign(end_ - first_, 0);
  work_.units.assign(segment_.first_unit[end_] - first_unit, 0);
  for (WordList& word : words_) add_all(word);
  std::uint64_t scored = 0;
  for (std::uint32_t note = first_; note < end_; ++note) {
    const float bound = work_.most[note - first_];
    if (bound <= 0 || (bound + rest()) * kSlack < best.threshold()) continue;
    ++scored;
    const std::uint32_t first = segment_.first_unit[note], end = segment_.first_unit[note + 1];
    best.add(finish(note, work_.notes[note - first_],
                    std::span(work_.units).subspan(first - first_unit, end - first)));
  }
  return scored;
}

/// Scores the notes of the window that have a chance, by falling bound.
std::uint64_t Visit::settle_window(Best& best) {
  std::vector<float>&most = work_.most, &highest = work_.highest;
  auto& blocks = work_.blocks;
  for (std::size_t i = 0; i < most.size(); ++i)
    most[i] = mixed(work_.sums[i].note, work_.sums[i].passage);
  highest.assign(most.begin(), most.begin() + columns_);
  for (std::uint32_t row = 1; row < kRows; ++row) {
    const float* values = most.data() + std::size_t{row} * columns_;
    for (std::uint32_t column = 0; column < columns_; ++column)
      highest[column] = highest[column] < values[column] ? values[column] : highest[column];
  }
  const auto hopeless = [&](float bound) { return (bound + rest()) * kSlack < best.threshold(); };
  blocks.clear();
  for (std::uint32_t column = 0; column < columns_; ++column)
    if (highest[column] > 0 && !hopeless(highest[column]))
      blocks.emplace_back(highest[column], column);
  std::make_heap(blocks.begin(), blocks.end());
  std::uint64_t scored = 0;
  while (!blocks.empty() && !hopeless(blocks.front().first)) {
    if (scored >= kScoredSinglyMax) return scored + settle_together(best);
    std::pop_heap(blocks.begin(), blocks.end());
    const auto [bound, column] = blocks.back();
    blocks.pop_back();
    const float next = blocks.empty() ? 0 : blocks.front().first;
    // A note's bound may equal the next block's: whichever is first.
    const float left = settle_block(column, std::max(next, 1e-30F), best, scored);
    if (left <= 0) continue;
    blocks.emplace_back(left, column);
    std::push_heap(blocks.begin(), blocks.end());
  }
  return scored;
}

/// Whether a word may be left out of the bounds: by its own it cannot lift a note into the best,
/// and it is so common that looking it up costs less.
bool Visit::may_leave(std::size_t i) const {
  std::size_t others = 0;
  for (std::size_t k = i + 1; k < by_bound_.size(); ++k) others += words_[by_bound_[k]].notes;
  return words_[by_bound_[i]].notes > kLookUpRatio * others;
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
    // In the order of the query: the sums of floats depend on it.
    for (std::size_t w = 0; w < words_.size(); ++w)
      if (std::find(by_bound_.begin(), by_bound_.begin() + static_cast<std::ptrdiff_t>(left_), w) ==
          by_bound_.begin() + static_cast<std::ptrdiff_t>(left_))
        add_sums(words_[w]);
    if (candidates_ != nullptr) drop_others();
    scored += settle_window(best);
  }
}

/// Adds what a word gives to the note's passages.
/// @return what it gives to the note itself
float Visit::add_exactly(WordList& word, std::uint32_t note) {
  const std::uint32_t first = segment_.first_unit[note];
  if (word.terms.size() == 1) {
    TermList& list = word.terms.front();
    const TermList::Found found = list.look_up(note);
    for (const auto& [unit, value] : found.passages) passages_[unit - first] += list.gain() * value;
    return found.value;
  }
  float most = 0;
  competing_.assign(passages_.size(), 0);
  for (TermList& list : word.terms) {
    const TermList::Found found = list.look_up(note);
    most = std::max(most, found.value);
    for (const auto& [unit, value] : found.passages)
      competing_[unit - first] = std::max(competing_[unit - first], list.gain() * value);
  }
  for (std::size_t i = 0; i < passages_.size(); ++i) passages_[i] += competing_[i];
  return most;
}

/// Adds up in the order of the query: the same sums as when all notes are scored.
KeywordHit Visit::score(std::uint32_t note) {
  const std::uint32_t first = segment_.first_unit[note], end = segment_.first_unit[note + 1];
  passages_.assign(end - first, 0);
  float sum = 0;
  for (WordList& word : words_) sum += add_exactly(word, note);
  return finish(note, sum, passages_);
}

}  // namespace

std::vector<KeywordHit> best_notes(const State& state,
                                   const std::vector<const NoteSet*>& candidates,
                                   const KeywordScorer& scorer, std::uint32_t count,
                                   const std::vector<NamedNote>& named, std::uint64_t& scored) {
  thread_local WindowSums work;
  Best best(state, count);
  scored = 0;
  for (std::uint32_t s = 0; s < state.segments.size(); ++s)
    scored += Visit(state, s, candidates[s], scorer, work).run(best);
  std::vector<KeywordHit> hits = best.take();
  for (const auto& [segment, note] : named) {
    const bool known = std::any_of(hits.begin(), hits.end(), [&](const KeywordHit& hit) {
      return hit.segment == segment && hit.note == note;
    });
    const bool wanted = candidates[segment] == nullptr || candidates[segment]->test(note);
    if (known || !wanted) continue;
    const KeywordHit hit = Visit(state, segment, candidates[segment], scorer, work).score(note);
    if (hit.score > 0) hits.push_back(hit);
  }
  work.trim();
  return hits;
}

}  // namespace knap::search
