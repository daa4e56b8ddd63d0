#include "dense.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>

#include "kernels.hpp"

namespace knap::search {
namespace {

/// Below this share of candidate passages, computing only theirs beats reading all rows in a
/// straight line.
constexpr double kNarrowShare = 0.25;
/// The same where all rows would only be estimated.
constexpr double kNarrowEstimatedShare = 0.05;

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

/// About so many of the estimates are made exact. Each costs a row from anywhere in memory.
constexpr double kRefinedRows = 2'048;
constexpr std::size_t kSampledRows = 8'192;
/// Notes whose exact cosines tell the mean and deviation where others are estimated: the mean of so
/// many is mostly right to a sixteenth of a deviation, which moves all notes alike.
constexpr std::uint64_t kSampledNotes = 256;

/// Rows that one thread reads in one go: about 100 µs.
constexpr std::uint32_t kPartRows = 16 * VectorView::kChunkRows;

class Scan {
 public:
  Scan(const State& state, std::span<const float> query)
      : vectors_(*state.vectors), query_(query), quantised_(quantise(query)) {}

  void want_all_rows() { cosines_.resize(vectors_.row_count); }
  void want_estimates() {
    want_all_rows();
    signs_.emplace(query_);
  }
  bool estimates() const { return signs_.has_value(); }
  std::size_t parts() const { return (cosines_.size() + kPartRows - 1) / kPartRows; }
  void read_rows(std::size_t part) {
    std::vector<std::int32_t> dots(VectorView::kChunkRows);
    const auto begin = static_cast<std::uint32_t>(part * kPartRows);
    const std::uint32_t end = std::min(vectors_.row_count, begin + kPartRows);
    for (std::uint32_t first = begin; first < end; first += VectorView::kChunkRows) {
      const std::uint32_t count = std::min(VectorView::kChunkRows, end - first);
      const VectorView::Chunk& chunk = *vectors_.chunks[first / VectorView::kChunkRows];
      const std::span<float> cosines = std::span(cosines_).subspan(first, count);
      if (signs_) {
        signs_->estimate(chunk.signs, cosines);
        continue;
      }
      dot_rows(quantised_.values, chunk.values.data(), std::span(dots).first(count));
      const float scale = quantised_.scale;
      for (std::uint32_t i = 0; i < count; ++i)
        cosines[i] = static_cast<float>(dots[i]) * scale * chunk.inverse_norms[i];
    }
  }
  float cosine(std::uint32_t row) const { return cosines_.empty() ? exact(row) : cosines_[row]; }
  void prefetch(std::uint32_t row) const {
    constexpr std::uint32_t kLine = 64;
    const std::int8_t* values = vectors_.row(row);
    for (std::uint32_t at = 0; at < vectors_.dimensions; at += kLine)
      __builtin_prefetch(values + at);
  }
  float exact(std::uint32_t row) const {
    std::int32_t dot = 0;
    dot_rows(quantised_.values, vectors_.row(row), {&dot, 1});
    return static_cast<float>(dot) * quantised_.scale * vectors_.inverse_norm(row);
  }
  /// From which estimate on about so many rows lie. Rows, not passages: thousands of notes may end
  /// in the same lines.
  float best_estimates(double count) const {
    const std::size_t stride = std::max<std::size_t>(1, cosines_.size() / kSampledRows);
    std::vector<float> sample;
    for (std::size_t row = 0; row < cosines_.size(); row += stride) sample.push_back(cosines_[row]);
    const auto place = static_cast<std::size_t>(count / static_cast<double>(stride));
    if (place >= sample.size()) return kNoCosine;
    std::nth_element(sample.begin(), sample.begin() + static_cast<std::ptrdiff_t>(place),
                     sample.end(), std::greater<>());
    return sample[place];
  }
  /// Empty when they are estimates.
  std::vector<float> take_rows() { return signs_ ? std::vector<float>() : std::move(cosines_); }
  float make_exact(std::uint32_t row) {
    const float cosine = dot_float(query_, vectors_.row(row)) * vectors_.inverse_norm(row);
    if (!cosines_.empty()) cosines_[row] = cosine;
    return cosine;
  }

 private:
  const VectorView& vectors_;
  std::span<const float> query_;
  Quantised quantised_;
  std::optional<SignQuery> signs_;
  std::vector<float> cosines_;
};

/// Passages of the candidates, of all with a vector, at most 1.
double candidate_share(const State& state, std::span<const NoteSet* const> candidates) {
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
  const double rows = std::max(1U, state.vectors->row_count);
  return std::min(1.0, static_cast<double>(units) / rows);
}

/// Notes of one segment that one thread looks up in one go.
struct NoteRange {
  std::size_t segment = 0;
  std::uint32_t begin = 0, end = 0;
};
constexpr std::uint32_t kRangeNotes = 16'384;

/// The largest of f(row, unit) over a note's passages that have a row, and which has it.
template <class CosineOfRow>
DenseScores::NoteBest best_passage(const Segment& segment, std::uint32_t note,
                                   std::span<const std::uint32_t> slot_rows, CosineOfRow f) {
  DenseScores::NoteBest best;
  const std::uint32_t end = segment.first_unit[note + 1];
  for (std::uint32_t unit = segment.first_unit[note] + 1; unit < end; ++unit) {
    const Slot slot = segment.unit_slots[unit];
    const std::uint32_t row = slot < slot_rows.size() ? slot_rows[slot] : kNoRow;
    if (row == kNoRow) continue;
    if (const float cosine = f(row, unit); cosine > best.cosine) best = {cosine, unit};
  }
  return best;
}

/// A passage whose cosine is wanted exactly.
struct Wanted {
  std::uint32_t row, note, unit;
};

/// Exact cosines of rows from anywhere: memory is told of each some time before.
template <class Take>
void compute(const Scan& scan, std::span<const Wanted> wanted, Take take) {
  constexpr std::size_t kAhead = 8;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (i + kAhead < wanted.size()) scan.prefetch(wanted[i + kAhead].row);
    take(wanted[i], scan.exact(wanted[i].row));
  }
}

/// @param refined_from  cosines from here on are estimates to make exact
void score_notes(const State& state, const NoteRange& range, const NoteSet* candidates,
                 const Scan& scan, float refined_from, DenseScores::PerSegment& out) {
  const Segment& segment = *state.segments[range.segment].segment;
  std::vector<Wanted> wanted;
  for (std::uint32_t note = range.begin; note < range.end; ++note) {
    if (candidates != nullptr && !candidates->test(note)) continue;
    const auto best = best_passage(segment, note, *state.vectors->slot_rows,
                                   [&](std::uint32_t row, std::uint32_t unit) {
                                     const float cosine = scan.cosine(row);
                                     if (cosine < refined_from) return cosine;
                                     wanted.push_back({row, note, unit});
                                     return kNoCosine;
                                   });
    out.notes[note] = best.cosine;
    out.best_units[note] = best.unit;
  }
  compute(scan, wanted, [&](const Wanted& each, float cosine) {
    if (cosine > out.notes[each.note])
      out.notes[each.note] = cosine, out.best_units[each.note] = each.unit;
  });
}

class Mean {
 public:
  void add(float value) {
    ++count_;
    sum_ += value;
    squares_ += double{value} * value;
  }
  std::uint64_t count() const { return count_; }
  void get(float& mean, float& deviation) const {
    if (count_ == 0) return;
    const auto count = static_cast<double>(count_);
    const double value = sum_ / count;
    mean = static_cast<float>(value);
    deviation = static_cast<float>(std::sqrt(std::max(0.0, squares_ / count - value * value)));
  }

 private:
  std::uint64_t count_ = 0;
  double sum_ = 0, squares_ = 0;
};

/// Mean over a part of the candidate notes, exact.
Mean sample_notes(const State& state, std::span<const NoteSet* const> candidates,
                  const Scan& scan) {
  std::uint64_t notes = 0;
  for (std::size_t s = 0; s < state.segments.size(); ++s) {
    notes +=
        candidates[s] != nullptr ? candidates[s]->count() : state.segments[s].segment->note_count();
  }
  const std::uint64_t stride = std::max<std::uint64_t>(1, notes / kSampledNotes);
  std::vector<Wanted> wanted;
  std::vector<float> nearest;
  std::uint64_t until_next = 0;
  for (std::size_t s = 0; s < state.segments.size(); ++s) {
    const Segment& segment = *state.segments[s].segment;
    for (std::uint32_t note = 0; note < segment.note_count(); ++note) {
      if (candidates[s] != nullptr && !candidates[s]->test(note)) continue;
      if (until_next-- > 0) continue;
      until_next = stride - 1;
      const auto number = static_cast<std::uint32_t>(nearest.size());
      best_passage(segment, note, *state.vectors->slot_rows,
                   [&](std::uint32_t row, std::uint32_t unit) {
                     wanted.push_back({row, number, unit});
                     return kNoCosine;
                   });
      nearest.push_back(kNoCosine);
    }
  }
  compute(scan, wanted, [&](const Wanted& each, float cosine) {
    nearest[each.note] = std::max(nearest[each.note], cosine);
  });
  Mean mean;
  for (const float cosine : nearest)
    if (cosine != kNoCosine) mean.add(cosine);
  return mean;
}

/// Over the notes that have a cosine.
Mean measure(const DenseScores& scores) {
  Mean mean;
  for (const auto& per : scores.segments) {
    for (const float cosine : per.notes)
      if (cosine != kNoCosine) mean.add(cosine);
  }
  return mean;
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
    auto& per = scores.segments[one.segment];
    const auto exact =
        best_passage(*state.segments[one.segment].segment, one.note, *state.vectors->slot_rows,
                     [&](std::uint32_t row, std::uint32_t) { return scan.make_exact(row); });
    per.notes[one.note] = exact.cosine;
    per.best_units[one.note] = exact.unit;
    scores.best = std::max(scores.best, exact.cosine);
    scores.rescored.emplace_back(one.segment, one.note);
  }
  std::ranges::sort(scores.rescored);
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

DenseScores::NoteBest DenseScores::note_cosine(const State& state, std::size_t segment,
                                               std::uint32_t note) const {
  const VectorView& vectors = *state.vectors;
  return best_passage(*state.segments[segment].segment, note, *vectors.slot_rows,
                      [&](std::uint32_t row, std::uint32_t) {
                        return dot_float(query, vectors.row(row)) * vectors.inverse_norm(row);
                      });
}

struct DenseSearch::Impl {
  Impl(const State& searched, std::span<const float> asked, std::span<const NoteSet* const> allowed)
      : state(searched),
        query(asked),
        candidates(allowed),
        share(candidate_share(searched, allowed)),
        scan(searched, asked) {}

  const State& state;
  const std::span<const float> query;
  const std::span<const NoteSet* const> candidates;
  const double share;  ///< Of all passages, the candidates'.
  Scan scan;
};

DenseSearch::DenseSearch(const State& state, std::span<const float> query,
                         std::span<const NoteSet* const> candidates, std::uint32_t estimated_from)
    : impl_(std::make_unique<Impl>(state, query, candidates)) {
  const bool estimated = state.vectors->row_count >= estimated_from;
  if (impl_->share < (estimated ? kNarrowEstimatedShare : kNarrowShare)) return;
  estimated ? impl_->scan.want_estimates() : impl_->scan.want_all_rows();
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
  scores.estimated = impl_->scan.estimates();
  Mean sample;
  float refined = std::numeric_limits<float>::infinity();
  if (scores.estimated) {
    sample = sample_notes(state, impl_->candidates, impl_->scan);
    refined = impl_->scan.best_estimates(kRefinedRows / impl_->share);
  }
  fan_out(helpers, ranges.size(), [&](std::size_t i) {
    const NoteRange& range = ranges[i];
    score_notes(state, range, impl_->candidates[range.segment], impl_->scan, refined,
                scores.segments[range.segment]);
  });
  if (scores.estimated) {
    for (const auto& per : scores.segments)
      scores.candidates +=
          per.notes.size() - static_cast<std::uint64_t>(std::ranges::count(per.notes, kNoCosine));
    sample.get(scores.mean, scores.deviation);
  } else {
    const Mean all = measure(scores);
    scores.candidates = all.count();
    all.get(scores.mean, scores.deviation);
  }
  rescore(state, impl_->scan, rescored, scores);
  scores.rows = impl_->scan.take_rows();
  scores.query = impl_->query;
  return scores;
}

}  // namespace knap::search
