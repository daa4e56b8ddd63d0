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

class Scan {
 public:
  Scan(const State& state, std::span<const float> query)
      : vectors_(*state.vectors), query_(query), quantised_(quantise(query)) {}

  void all_rows() {
    cosines_.resize(vectors_.row_count);
    std::vector<std::int32_t> dots(VectorView::kChunkRows);
    for (std::uint32_t first = 0; first < vectors_.row_count; first += VectorView::kChunkRows) {
      const std::uint32_t count = std::min(VectorView::kChunkRows, vectors_.row_count - first);
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

void score_segment(const State& state, const Segment& segment, const NoteSet* candidates,
                   const Scan& scan, DenseScores::PerSegment& out) {
  const std::span<const std::uint32_t> slot_rows = *state.vectors->slot_rows;
  out.notes.assign(segment.note_count(), kNoCosine);
  out.best_units.assign(segment.note_count(), 0);
  for (std::uint32_t note = 0; note < segment.note_count(); ++note) {
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

DenseScores score_dense(const State& state, std::span<const float> query,
                        std::span<const NoteSet* const> candidates, std::uint32_t rescored) {
  DenseScores scores;
  Scan scan(state, query);
  const std::uint64_t units = count_candidates(state, candidates);
  if (static_cast<double>(units) >= kNarrowShare * state.vectors->row_count) scan.all_rows();
  scores.segments.resize(state.segments.size());
  for (std::size_t s = 0; s < state.segments.size(); ++s)
    score_segment(state, *state.segments[s].segment, candidates[s], scan, scores.segments[s]);
  measure(scores);
  rescore(state, scan, rescored, scores);
  scores.rows = scan.take_rows();
  scores.query = query;
  return scores;
}

}  // namespace knap::search
