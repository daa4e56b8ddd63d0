#include "dense.hpp"

#include <algorithm>
#include <cmath>

#include "kernels.hpp"

namespace knap::search {
namespace {

/// Below this share of candidate passages, computing only theirs beats reading all rows in a
/// straight line.
constexpr double kNarrowShare = 0.25;

struct Quantised {
  std::vector<std::int8_t> values;
  float scale = 0;  ///< cosine = dot * scale * inverse norm of the row
};

Quantised quantise(std::span<const float> query) {
  Quantised out;
  out.values.resize(query.size());
  float largest = 0, norm = 0;
  for (const float value : query) {
    if (!std::isfinite(value)) continue;
    largest = std::max(largest, std::abs(value));
    norm += value * value;
  }
  if (largest <= 0 || !std::isfinite(norm)) return out;
  const float factor = 127 / largest;
  for (std::size_t i = 0; i < query.size(); ++i)
    out.values[i] = std::isfinite(query[i])
                        ? static_cast<std::int8_t>(std::lround(query[i] * factor))
                        : std::int8_t{0};
  out.scale = 1 / (factor * std::sqrt(norm));
  return out;
}

/// Rows that one thread reads in one go: about 100 µs.
constexpr std::uint32_t kPartRows = 16 * VectorView::kChunkRows;

class Scan {
 public:
  Scan(const State& state, std::span<const float> query)
      : vectors_(*state.vectors), query_(query), quantised_(quantise(query)) {}

  void want_all_rows() { cosines_.resize(vectors_.row_count); }
  std::size_t parts() const { return (cosines_.size() + kPartRows - 1) / kPartRows; }
  void read_rows(std::size_t part) {
    std::vector<std::int32_t> dots(VectorView::kChunkRows);
    const auto begin = static_cast<std::uint32_t>(part * kPartRows);
    const std::uint32_t end = std::min(vectors_.row_count, begin + kPartRows);
    for (std::uint32_t first = begin; first < end; first += VectorView::kChunkRows) {
      const std::uint32_t count = std::min(VectorView::kChunkRows, end - first);
      dot_rows(quantised_.values, vectors_.row(first), std::span(dots).first(count));
      for (std::uint32_t i = 0; i < count; ++i)
        cosines_[first + i] =
            static_cast<float>(dots[i]) * quantised_.scale * vectors_.inverse_norm(first + i);
    }
  }
  float cosine(std::uint32_t row) const {
    if (!cosines_.empty()) return cosines_[row];
    std::int32_t dot = 0;
    dot_rows(quantised_.values, vectors_.row(row), {&dot, 1});
    return static_cast<float>(dot) * quantised_.scale * vectors_.inverse_norm(row);
  }
  std::vector<float> take_rows() { return std::move(cosines_); }
  float make_exact(std::uint32_t row) {
    const float cosine = dot_float(query_, vectors_.row(row)) * vectors_.inverse_norm(row);
    if (!cosines_.empty()) cosines_[row] = cosine;
    return cosine;
  }

 private:
  const VectorView& vectors_;
  std::span<const float> query_;
  Quantised quantised_;
  std::vector<float> cosines_;
};

std::uint64_t count_candidates(const State& state, std::span<const NoteSet* const> candidates) {
  std::uint64_t units = 0;
  for (std::size_t s = 0; s < state.segments.size(); ++s) {
    const SegmentView& view = state.segments[s];
    if (candidates[s] == nullptr) {
      units += view.live_units;
      continue;
    }
    const Segment& segment = *view.segment;
    for (std::uint32_t note = 0; note < segment.note_count(); ++note)
      if (candidates[s]->test(note))
        units += segment.first_unit[note + 1] - segment.first_unit[note] - 1;
  }
  return units;
}

/// Notes of one segment that one thread looks up in one go.
struct NoteRange {
  std::size_t segment = 0;
  std::uint32_t begin = 0, end = 0;
};
constexpr std::uint32_t kRangeNotes = 16'384;

void score_notes(const State& state, const NoteRange& range, const NoteSet* candidates,
                 const Scan& scan, DenseScores::PerSegment& out) {
  const Segment& segment = *state.segments[range.segment].segment;
  const std::span<const std::uint32_t> slot_rows = *state.vectors->slot_rows;
  for (std::uint32_t note = range.begin; note < range.end; ++note) {
    if (candidates != nullptr && !candidates->test(note)) continue;
    for (std::uint32_t unit = segment.first_unit[note] + 1; unit < segment.first_unit[note + 1];
         ++unit) {
      const Slot slot = segment.unit_slots[unit];
      const std::uint32_t row = slot < slot_rows.size() ? slot_rows[slot] : kNoRow;
      if (row == kNoRow) continue;
      const float cosine = scan.cosine(row);
      if (cosine > out.notes[note]) out.notes[note] = cosine, out.best_units[note] = unit;
    }
  }
}

/// Mean and deviation over the notes that have a cosine.
void measure(DenseScores& scores) {
  double sum = 0, squares = 0;
  for (const auto& per : scores.segments) {
    for (const float cosine : per.notes) {
      if (cosine == kNoCosine) continue;
      ++scores.candidates;
      sum += cosine;
      squares += double{cosine} * cosine;
    }
  }
  if (scores.candidates == 0) return;
  const auto count = static_cast<double>(scores.candidates);
  scores.mean = static_cast<float>(sum / count);
  scores.deviation =
      static_cast<float>(std::sqrt(std::max(0.0, squares / count - (sum / count) * (sum / count))));
}

struct Best {
  float cosine;
  std::uint32_t segment, note;
};

std::vector<Best> notes_above(const DenseScores& scores, float limit) {
  std::vector<Best> best;
  for (std::uint32_t s = 0; s < scores.segments.size(); ++s) {
    const std::vector<float>& notes = scores.segments[s].notes;
    for (std::uint32_t note = 0; note < notes.size(); ++note)
      if (notes[note] > limit) best.push_back({notes[note], s, note});
  }
  return best;
}

/// The best notes, with the query's own precision.
void rescore(const State& state, Scan& scan, std::uint32_t count, DenseScores& scores) {
  // One note in six lies above one deviation: nearly always enough, and less to sort.
  std::vector<Best> best = notes_above(scores, scores.mean + scores.deviation);
  if (best.size() < count) best = notes_above(scores, kNoCosine);
  const std::size_t kept = std::min<std::size_t>(count, best.size());
  std::nth_element(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(kept), best.end(),
                   [](const Best& a, const Best& b) { return a.cosine > b.cosine; });
  for (const Best& one : std::span(best).first(kept)) {
    const Segment& segment = *state.segments[one.segment].segment;
    auto& per = scores.segments[one.segment];
    per.notes[one.note] = kNoCosine;
    for (std::uint32_t unit = segment.first_unit[one.note] + 1;
         unit < segment.first_unit[one.note + 1]; ++unit) {
      const std::uint32_t row = state.vectors->row_of(segment.unit_slots[unit]);
      if (row == kNoRow) continue;
      const float cosine = scan.make_exact(row);
      if (cosine > per.notes[one.note])
        per.notes[one.note] = cosine, per.best_units[one.note] = unit;
    }
    scores.best = std::max(scores.best, per.notes[one.note]);
  }
}

}  // namespace

float DenseScores::passage_cosine(const State& state, std::size_t segment,
                                  std::uint32_t unit) const {
  const std::uint32_t row =
      state.vectors->row_of(state.segments[segment].segment->unit_slots[unit]);
  if (row == kNoRow) return kNoCosine;
  if (!rows.empty()) return rows[row];
  return dot_float(query, state.vectors->row(row)) * state.vectors->inverse_norm(row);
}

struct DenseSearch::Impl {
  const State& state;
  const std::span<const float> query;
  const std::span<const NoteSet* const> candidates;
  Scan scan;
};

DenseSearch::DenseSearch(const State& state, std::span<const float> query,
                         std::span<const NoteSet* const> candidates)
    : impl_(new Impl{state, query, candidates, Scan(state, query)}) {
  const std::uint64_t units = count_candidates(state, candidates);
  if (static_cast<double>(units) >= kNarrowShare * state.vectors->row_count)
    impl_->scan.want_all_rows();
}

DenseSearch::~DenseSearch() = default;

std::size_t DenseSearch::parts() const { return impl_->scan.parts(); }

void DenseSearch::scan(std::size_t part) { impl_->scan.read_rows(part); }

DenseScores DenseSearch::finish(std::uint32_t rescored, const Helpers& helpers) {
  const State& state = impl_->state;
  DenseScores scores;
  scores.segments.resize(state.segments.size());
  std::vector<NoteRange> ranges;
  for (std::size_t s = 0; s < state.segments.size(); ++s) {
    const std::uint32_t notes = state.segments[s].segment->note_count();
    scores.segments[s].notes.assign(notes, kNoCosine);
    scores.segments[s].best_units.assign(notes, 0);
    for (std::uint32_t begin = 0; begin < notes; begin += kRangeNotes)
      ranges.push_back({s, begin, std::min(notes, begin + kRangeNotes)});
  }
  fan_out(helpers, ranges.size(), [&](std::size_t i) {
    const NoteRange& range = ranges[i];
    score_notes(state, range, impl_->candidates[range.segment], impl_->scan,
                scores.segments[range.segment]);
  });
  measure(scores);
  rescore(state, impl_->scan, rescored, scores);
  scores.rows = impl_->scan.take_rows();
  scores.query = impl_->query;
  return scores;
}

}  // namespace knap::search
