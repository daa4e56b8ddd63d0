#include "top_notes.hpp"

#include <algorithm>

namespace knap::search {
namespace {

constexpr std::uint32_t kNoMoreNotes = 0xFFFFFFFF;
/// Bounds are sums in another order than scores: what rounding may hide.
constexpr float kSlack = 1.0001F;

/// One term's list within one word.
struct TermList {
  PostingCursor cursor;
  TermFormula formula;
  std::uint32_t languages;
};

/// A word with a prefix has two dozen lists: kept in a heap, only those that moved are put in order
/// again.
bool later(const TermList& a, const TermList& b) { return a.cursor.unit() > b.cursor.unit(); }

/// What a word gives to the note looked at.
struct WordScore {
  float note = 0;
  float best_unit = 0;
  std::vector<std::pair<std::uint32_t, float>> units;  ///< (unit, value), each unit once.
};

/// A word's lists in one segment. Where several terms hold the word, the best counts.
struct WordList {
  std::vector<TermList> terms;
  std::size_t place = 0;   ///< In the query.
  float bound = 0;         ///< No note or passage gets more from this word.
  std::uint32_t note = 0;  ///< The next one that holds the word; kNoMoreNotes after the last.
};

/// The best so far, the worst of them on top.
class Best {
 public:
  Best(const State& state, std::size_t count) : state_(state), count_(count) {}

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

/// The visit of one segment.
class Visit {
 public:
  Visit(const State& state, std::uint32_t number, const NoteSet* candidates,
        const KeywordScorer& scorer)
      : segment_(*state.segments[number].segment),
        number_(number),
        candidates_(candidates),
        share_(scorer.settings().passage_share),
        scores_(scorer.words().size()) {
    for (std::size_t w = 0; w < scorer.words().size(); ++w) open(scorer, w);
    std::stable_sort(words_.begin(), words_.end(),
                     [](const WordList& a, const WordList& b) { return a.bound < b.bound; });
    float sum = 0;
    for (WordList& word : words_) {
      std::make_heap(word.terms.begin(), word.terms.end(), later);
      sum += word.bound;
      bounds_.push_back(sum);
      find_next(word);
    }
  }

  std::uint64_t run(Best& best);
  /// One note, wherever the visit stands: with lists of its own.
  KeywordHit score_alone(std::uint32_t note);

 private:
  void open(const KeywordScorer& scorer, std::size_t w);
  static void settle_first(WordList& word);
  void find_next(WordList& word) const;
  void seek(WordList& word, std::uint32_t note) const;
  void read(WordList& word, std::uint32_t note);
  void read_term(TermList& term, std::uint32_t note, WordScore& out);
  KeywordHit finish(std::uint32_t note);

  const Segment& segment_;
  const std::uint32_t number_;
  const NoteSet* candidates_;
  const float share_;              ///< Of the best passage in a note's score.
  std::vector<WordList> words_;    ///< By rising bound.
  std::vector<float> bounds_;      ///< Sum of the bounds up to here.
  std::vector<WordScore> scores_;  ///< By place in the query.
  std::vector<std::size_t> read_;  ///< Places that have a score for the note looked at.
  std::vector<float> unit_sums_;
  std::vector<float> competing_;  ///< Best value so far, by unit of the note.
};

void Visit::open(const KeywordScorer& scorer, std::size_t w) {
  const WeightedWord& weighted = scorer.words()[w];
  const QueryWord& word = *weighted.word;
  WordList list;
  list.place = w;
  float most_note = 0, most_passage = 0;
  const auto add = [&](std::uint32_t term, std::uint32_t languages, float weight) {
    const TermFormula formula = scorer.formula(weight);
    const TermBounds::Shares shares = segment_.bounds.of(segment_, term, scorer);
    // A note may take its own value from one term and its best passage's from another.
    most_note = std::max(most_note, formula.gain * shares.note);
    most_passage = std::max(most_passage, formula.gain * shares.passage);
    list.terms.push_back({PostingCursor(segment_, term), formula, languages});
  };
  for (const Variant& variant : word.variants) {
    if (const std::int64_t term = segment_.find(variant.term); term >= 0)
      add(static_cast<std::uint32_t>(term), variant.languages, weighted.idf * word.weight);
  }
  if (!weighted.expansions.empty()) {
    for (const Expansion& expansion : weighted.expansions[number_])
      add(expansion.term, 0xFFFFFFFF, weighted.expansion_idf * word.weight * expansion.share);
  }
  list.bound = (1 - share_) * most_note + share_ * most_passage;
  if (!list.terms.empty()) words_.push_back(std::move(list));
}

/// The first list moved: sinks it to its place.
void Visit::settle_first(WordList& word) {
  auto& terms = word.terms;
  std::size_t at = 0;
  for (;;) {
    const std::size_t left = 2 * at + 1, right = left + 1;
    std::size_t least = at;
    if (left < terms.size() && later(terms[least], terms[left])) least = left;
    if (right < terms.size() && later(terms[least], terms[right])) least = right;
    if (least == at) return;
    std::swap(terms[at], terms[least]);
    at = least;
  }
}

void Visit::find_next(WordList& word) const {
  const std::uint32_t unit = word.terms.front().cursor.unit();
  word.note = unit == PostingCursor::kEnd ? kNoMoreNotes : segment_.unit_notes[unit];
}

void Visit::seek(WordList& word, std::uint32_t note) const {
  if (word.note >= note) return;
  const std::uint32_t unit = segment_.first_unit[note];
  while (word.terms.front().cursor.unit() < unit) {
    word.terms.front().cursor.seek(unit);
    settle_first(word);
  }
  find_next(word);
}

/// Reads the term's postings of the note; the cursor stands behind them after.
void Visit::read_term(TermList& term, std::uint32_t note, WordScore& out) {
  const std::uint32_t first = segment_.first_unit[note], end = segment_.first_unit[note + 1];
  PostingCursor& cursor = term.cursor;
  if ((bit(segment_.languages[note]) & term.languages) == 0) {
    cursor.seek(end);
    return;
  }
  std::uint32_t fields = 0, body = 0;
  bool heading = false;
  for (; cursor.unit() < end; cursor.next()) {
    if (cursor.header()) {
      fields = cursor.fields();
      continue;
    }
    const std::uint32_t unit = cursor.unit();
    body += cursor.body();
    heading = heading || cursor.heading() > 0;
    const float value =
        term.formula.passage(cursor.body(), cursor.heading() > 0, segment_.unit_lengths[unit]);
    float& known = competing_[unit - first];
    if (known == 0) out.units.emplace_back(unit, 0);
    known = std::max(known, value);
  }
  out.note =
      std::max(out.note, term.formula.note(body, heading, fields, segment_.note_lengths[note]));
}

void Visit::read(WordList& word, std::uint32_t note) {
  WordScore& score = scores_[word.place];
  score.note = score.best_unit = 0;
  score.units.clear();
  const std::uint32_t first = segment_.first_unit[note];
  competing_.resize(
      std::max<std::size_t>(competing_.size(), segment_.first_unit[note + 1] - first));
  const std::uint32_t end = segment_.first_unit[note + 1];
  while (word.terms.front().cursor.unit() < end) {
    read_term(word.terms.front(), note, score);
    settle_first(word);
  }
  for (auto& [unit, value] : score.units) {
    value = std::exchange(competing_[unit - first], 0.0F);
    score.best_unit = std::max(score.best_unit, value);
  }
  read_.push_back(word.place);
  find_next(word);
}

/// Adds up what was read, in the order of the query: the same sums as when all notes are scored.
KeywordHit Visit::finish(std::uint32_t note) {
  const std::uint32_t first = segment_.first_unit[note], end = segment_.first_unit[note + 1];
  unit_sums_.resize(std::max<std::size_t>(unit_sums_.size(), end - first));
  std::sort(read_.begin(), read_.end());
  float sum = 0;
  for (const std::size_t place : read_) {
    sum += scores_[place].note;
    for (const auto& [unit, value] : scores_[place].units) unit_sums_[unit - first] += value;
  }
  KeywordHit hit{number_, note, std::min(first + 1, end - 1), 0};
  float best = unit_sums_[hit.unit - first];
  for (const std::size_t place : read_) {
    for (const auto& [unit, value] : scores_[place].units) {
      const float here = unit_sums_[unit - first];
      if (here > best || (here == best && unit < hit.unit && here > 0)) {
        best = here;
        hit.unit = unit;
      }
    }
  }
  for (const std::size_t place : read_)
    for (const auto& [unit, value] : scores_[place].units) unit_sums_[unit - first] = 0;
  read_.clear();
  hit.score = (1 - share_) * sum + share_ * best;
  return hit;
}

std::uint64_t Visit::run(Best& best) {
  std::uint64_t scored = 0;
  std::size_t essential = 0;  // words before it cannot lift a note into the best by themselves
  for (;;) {
    const float threshold = best.threshold();
    while (essential < words_.size() && bounds_[essential] * kSlack < threshold) ++essential;
    std::uint32_t note = kNoMoreNotes;
    for (std::size_t w = essential; w < words_.size(); ++w) note = std::min(note, words_[w].note);
    if (note == kNoMoreNotes) return scored;
    if (candidates_ != nullptr && !candidates_->test(note)) {
      for (std::size_t w = essential; w < words_.size(); ++w) seek(words_[w], note + 1);
      continue;
    }
    // What the words that stand here could give at most, and the common ones with them.
    float possible = essential > 0 ? bounds_[essential - 1] : 0;
    for (std::size_t w = essential; w < words_.size(); ++w)
      if (words_[w].note == note) possible += words_[w].bound;
    bool hopeless = possible * kSlack < threshold;
    if (hopeless) {
      for (std::size_t w = essential; w < words_.size(); ++w) seek(words_[w], note + 1);
      continue;
    }
    // Read one after the other, each takes the place of its bound.
    for (std::size_t w = words_.size(); w-- > 0 && !hopeless;) {
      WordList& word = words_[w];
      if (w < essential) {
        possible -= word.bound;
        seek(word, note);
        if (word.note != note) {
          hopeless = possible * kSlack < threshold;
          continue;
        }
      } else if (word.note != note) {
        continue;
      } else {
        possible -= word.bound;
      }
      read(word, note);
      const WordScore& score = scores_[word.place];
      possible += (1 - share_) * score.note + share_ * score.best_unit;
      hopeless = possible * kSlack < threshold;
    }
    if (hopeless) {
      for (std::size_t w = essential; w < words_.size(); ++w) seek(words_[w], note + 1);
      read_.clear();
      continue;
    }
    ++scored;
    best.add(finish(note));
  }
}

KeywordHit Visit::score_alone(std::uint32_t note) {
  for (WordList& word : words_) {
    seek(word, note);
    if (word.note == note) read(word, note);
  }
  return finish(note);
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
    const KeywordHit hit = Visit(state, segment, candidates[segment], scorer).score_alone(note);
    if (hit.score > 0) hits.push_back(hit);
  }
  return hits;
}

}  // namespace knap::search
