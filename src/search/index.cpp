#include "knap/search/index.hpp"

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>
#include <unordered_map>
#include <unordered_set>

#include "keyword.hpp"
#include "knap/base/assert.hpp"
#include "knap/base/mutex.hpp"
#include "merge_policy.hpp"
#include "names.hpp"
#include "snapshot.hpp"
#include "state.hpp"

namespace knap::search {
namespace {

/// Merges of up to so many units (about 20 ms) happen inside apply; larger ones on the index's own
/// thread.
constexpr std::uint64_t kInlineMergeUnitsMax = 2000;

class IndexImpl final : public Index {
 public:
  explicit IndexImpl(Options options) : options_(options), vectors_(options.dimensions) {
    auto state = std::make_shared<State>();
    state->vectors = vectors_.publish();
    published_ = std::move(state);
    merger_ = std::thread([this] { merge_loop(); });
  }

  ~IndexImpl() override {
    {
      const MutexLock lock(writer_);
      stopping_ = true;
      busy_ = true;
      wake_.notify_all();
    }
    merger_.join();
  }

  void apply(Batch batch) override;
  Status set_vectors(std::span<const VectorInput> vectors) override;
  Status replace_vectors(std::uint32_t dimensions, std::uint64_t space,
                         const std::function<Status(const PutVector&)>& fill) override;
  Result<Trial> try_vectors(std::uint32_t dimensions, std::uint64_t space,
                            const std::function<Status(const PutVector&)>& fill) const override;

  Result<SearchResult> search(const Query& query, Deadline deadline) const override {
    return search_state(*state(), query, options_.max_query_terms, deadline);
  }
  IndexStats stats() const override;
  Frozen freeze() const override;
  Status restore(std::string_view snapshot) override;
  std::vector<std::pair<NoteId, std::uint64_t>> cookies() const override;
  void compact() override;
  std::vector<NameMention> names_in(std::string_view text) const override {
    return find_names(*state(), text);
  }
  float inverse_document_frequency(std::string_view term) const override {
    const auto current = state();
    return bm25_idf(current->totals.notes, notes_with_term(*current, term));
  }

 private:
  /// The lock is held for the copy of one pointer. (std::atomic<std::shared_ptr> of this standard
  /// library spins on a bit of the same length, and ThreadSanitizer cannot see through it.)
  std::shared_ptr<const State> state() const KNAP_EXCLUDES(pointer_) {
    const MutexLock lock(pointer_);
    return published_;
  }
  void publish(std::shared_ptr<State> next) KNAP_REQUIRES(writer_) KNAP_EXCLUDES(pointer_);

  struct Place {
    const Segment* segment = nullptr;
    std::uint32_t note = 0;
  };
  void remove(State& next, const std::unordered_set<NoteId>& ids) KNAP_REQUIRES(writer_);
  SegmentView make_segment(std::span<const NoteInput* const> notes) KNAP_REQUIRES(writer_);
  void merge_loop() KNAP_EXCLUDES(writer_);
  std::vector<SegmentView> next_merge() KNAP_REQUIRES(writer_);
  void merge(std::vector<SegmentView> sources) KNAP_REQUIRES(writer_);
  void warm() const KNAP_EXCLUDES(writer_);
  /// Puts a merged segment in the place of those it was made from.
  void replace(State& next, std::span<const SegmentView> sources,
               const std::shared_ptr<const Segment>& merged,
               const std::vector<std::vector<std::uint32_t>>& moved) KNAP_REQUIRES(writer_);
  void merge_inline(State& next) KNAP_REQUIRES(writer_);

  const Options options_;
  mutable Mutex pointer_;
  std::shared_ptr<const State> published_ KNAP_GUARDED_BY(pointer_);

  mutable Mutex writer_;
  CondVar wake_;
  bool stopping_ KNAP_GUARDED_BY(writer_) = false;
  bool merge_due_ KNAP_GUARDED_BY(writer_) = false;
  bool warm_due_ KNAP_GUARDED_BY(writer_) = false;
  /// When the index counts as quiet, and has not been merged for that yet; else never.
  Deadline quiet_at_ KNAP_GUARDED_BY(writer_) = Deadline::never();
  std::atomic<bool> busy_ = false;  ///< Something better is to be done than to warm up.
  VectorStore vectors_ KNAP_GUARDED_BY(writer_);
  std::unordered_map<NoteId, Place> places_ KNAP_GUARDED_BY(writer_);
  std::thread merger_;
};

void recount(State& state) {
  state.totals = {};
  state.languages = 0;
  for (SegmentView& view : state.segments) {
    const Segment& segment = *view.segment;
    state.totals.notes += segment.note_count() - view.deleted_count;
    state.totals.passages += view.live_units;
    state.totals.body_words += segment.body_words - view.deleted_words;
    state.languages |= segment.languages_present;
  }
}

void IndexImpl::publish(std::shared_ptr<State> next) {
  std::erase_if(next->segments, [](const SegmentView& view) {
    return view.deleted_count == view.segment->note_count();
  });
  recount(*next);
  next->vectors = vectors_.publish();
  warm_due_ = true;
  busy_ = true;
  wake_.notify_one();
  std::shared_ptr<const State> old = std::move(next);
  {
    const MutexLock lock(pointer_);
    published_.swap(old);
  }
  // The older state is freed here, out of the readers' way.
}

void IndexImpl::remove(State& next, const std::unordered_set<NoteId>& ids) {
  std::unordered_map<const Segment*, std::vector<std::uint32_t>> gone;
  for (const NoteId id : ids) {
    const auto place = places_.find(id);
    if (place == places_.end()) continue;
    gone[place->second.segment].push_back(place->second.note);
    places_.erase(place);
  }
  for (SegmentView& view : next.segments) {
    const auto notes = gone.find(view.segment.get());
    if (notes == gone.end()) continue;
    auto deleted = view.deleted ? std::make_shared<NoteSet>(*view.deleted)
                                : std::make_shared<NoteSet>(view.segment->note_count());
    for (const std::uint32_t note : notes->second)
      mark_deleted(*view.segment, view, *deleted, note);
    view.deleted = std::move(deleted);
    if (view.deleted_count == view.segment->note_count()) {
      for (const Slot slot : view.segment->unit_slots)
        if (slot != kNoSlot) vectors_.release(slot);
    }
  }
  std::erase_if(next.segments, [](const SegmentView& view) {
    return view.deleted_count == view.segment->note_count();
  });
}

SegmentView IndexImpl::make_segment(std::span<const NoteInput* const> notes) {
  SegmentView view;
  view.segment = build_segment(notes, vectors_);
  view.live_units = view.segment->unit_count() - view.segment->note_count();
  return view;
}

void IndexImpl::apply(Batch batch) {
  const MutexLock lock(writer_);
  auto next = std::make_shared<State>(*state());
  ++next->epoch;

  // Of several notes with one id the last counts.
  std::unordered_map<NoteId, const NoteInput*> last;
  std::unordered_set<NoteId> gone(batch.deletes.begin(), batch.deletes.end());
  for (const NoteInput& note : batch.upserts) {
    last[note.id] = &note;
    gone.insert(note.id);
  }
  // The new passages take their slots before the old ones give theirs back: what did not change
  // keeps its vector.
  std::vector<SegmentView> additions;
  std::vector<const NoteInput*> group;
  std::uint64_t bytes = 0;
  for (const NoteInput& note : batch.upserts) {
    if (last[note.id] != &note) continue;
    group.push_back(&note);
    bytes += note_text_bytes(note);
    if (bytes < kSegmentTextBytesMax) continue;
    additions.push_back(make_segment(group));
    group.clear();
    bytes = 0;
  }
  if (!group.empty()) additions.push_back(make_segment(group));
  remove(*next, gone);
  for (SegmentView& view : additions) {
    const Segment& segment = *view.segment;
    for (std::uint32_t note = 0; note < segment.note_count(); ++note)
      places_[segment.ids[note]] = {&segment, note};
    next->segments.push_back(std::move(view));
  }

  merge_inline(*next);
  merge_due_ = !choose_merge(next->segments, 0).empty();
  quiet_at_ = Deadline::after(kQuietAfter);
  publish(std::move(next));
}

Status IndexImpl::set_vectors(std::span<const VectorInput> vectors) {
  const MutexLock lock(writer_);
  for (const VectorInput& vector : vectors) {
    if (vector.values.size() != vectors_.dimensions()) {
      return make_error(ErrorCode::kInvalidArgument,
                        "a vector has " + std::to_string(vector.values.size()) +
                            " values, the index " + std::to_string(vectors_.dimensions()));
    }
  }
  auto next = std::make_shared<State>(*state());
  ++next->epoch;
  for (const VectorInput& vector : vectors) vectors_.set(vector.hash, vector.values);
  publish(std::move(next));
  return {};
}

Status IndexImpl::replace_vectors(std::uint32_t dimensions, std::uint64_t space,
                                  const std::function<Status(const PutVector&)>& fill) {
  const MutexLock lock(writer_);
  VectorStore::Rows before = vectors_.restart(dimensions, space);
  Status filled = fill([&](const VectorInput& vector) {
    writer_.assert_held();
    if (vector.values.size() == dimensions) vectors_.set(vector.hash, vector.values);
  });
  if (!filled) {
    vectors_.put_back(std::move(before));
    return filled;
  }
  auto next = std::make_shared<State>(*state());
  ++next->epoch;
  publish(std::move(next));
  return {};
}

Result<Index::Trial> IndexImpl::try_vectors(
    std::uint32_t dimensions, std::uint64_t space,
    const std::function<Status(const PutVector&)>& fill) const {
  auto tried = std::make_shared<State>();
  std::optional<VectorStore> vectors;
  {
    // Only the copy of the slots: the vectors are read while writers go on.
    const MutexLock lock(writer_);
    *tried = *state();
    vectors.emplace(vectors_);
  }
  vectors->restart(dimensions, space);
  KNAP_CHECK_OK(fill([&](const VectorInput& vector) {
    if (vector.values.size() == dimensions) vectors->set(vector.hash, vector.values);
  }));
  tried->vectors = vectors->publish();
  return Trial([tried = std::shared_ptr<const State>(std::move(tried)),
                words_max = options_.max_query_terms](const Query& query, Deadline deadline) {
    return search_state(*tried, query, words_max, deadline);
  });
}

void IndexImpl::replace(State& next, std::span<const SegmentView> sources,
                        const std::shared_ptr<const Segment>& merged,
                        const std::vector<std::vector<std::uint32_t>>& moved) {
  SegmentView view;
  view.segment = merged;
  view.live_units = merged->unit_count() - merged->note_count();
  for (std::uint32_t note = 0; note < merged->note_count(); ++note) {
    // Notes replaced or deleted while the merge ran stand elsewhere, or nowhere.
    const auto place = places_.find(merged->ids[note]);
    if (place == places_.end()) continue;
    for (std::size_t s = 0; s < sources.size(); ++s) {
      const std::uint32_t old = place->second.note;
      if (place->second.segment != sources[s].segment.get() || moved[s][old] != note) continue;
      place->second = {merged.get(), note};
      break;
    }
  }
  auto deleted = std::make_shared<NoteSet>(merged->note_count());
  for (std::uint32_t note = 0; note < merged->note_count(); ++note) {
    const auto place = places_.find(merged->ids[note]);
    if (place == places_.end() || place->second.segment != merged.get())
      mark_deleted(*merged, view, *deleted, note);
  }
  if (view.deleted_count > 0) view.deleted = std::move(deleted);
  // The passages that the merge left behind give up their slots.
  for (std::size_t s = 0; s < sources.size(); ++s) {
    const Segment& segment = *sources[s].segment;
    for (std::uint32_t unit = 0; unit < segment.unit_count(); ++unit)
      if (segment.unit_slots[unit] != kNoSlot && moved[s][segment.unit_notes[unit]] == kNoNote)
        vectors_.release(segment.unit_slots[unit]);
  }
  const auto is_source = [&](const SegmentView& candidate) {
    return std::any_of(sources.begin(), sources.end(), [&](const SegmentView& source) {
      return source.segment == candidate.segment;
    });
  };
  const auto first = std::find_if(next.segments.begin(), next.segments.end(), is_source);
  const auto at = first - next.segments.begin();
  std::erase_if(next.segments, is_source);
  if (view.deleted_count == merged->note_count()) {
    for (const Slot slot : merged->unit_slots)
      if (slot != kNoSlot) vectors_.release(slot);
    return;
  }
  next.segments.insert(
      next.segments.begin() + std::min<std::ptrdiff_t>(at, std::ssize(next.segments)),
      std::move(view));
}

struct MergeJob {
  std::vector<SegmentView> sources;
  std::shared_ptr<const Segment> merged;
  std::vector<std::vector<std::uint32_t>> moved;

  void run() {
    std::vector<std::shared_ptr<const Segment>> segments;
    std::vector<NoteSet> deleted;
    for (const SegmentView& source : sources) {
      segments.push_back(source.segment);
      deleted.push_back(source.deleted ? *source.deleted : NoteSet());
    }
    merged = merge_segments(segments, deleted, moved);
  }
};

void IndexImpl::merge_inline(State& next) {
  for (std::uint32_t round = 0; round < kMergeTiers; ++round) {
    MergeJob job{choose_merge(next.segments, kInlineMergeUnitsMax), {}, {}};
    if (job.sources.empty()) return;
    job.run();
    replace(next, job.sources, job.merged, job.moved);
  }
}

std::vector<SegmentView> IndexImpl::next_merge() {
  if (merge_due_) {
    if (auto due = choose_merge(state()->segments, 0); !due.empty()) return due;
    merge_due_ = false;
  }
  if (!quiet_at_.is_never() && quiet_at_.expired()) {
    if (auto due = choose_quiet_merge(state()->segments); !due.empty()) return due;
    quiet_at_ = Deadline::never();
  }
  return {};
}

/// Writers go on while the segments are read.
void IndexImpl::merge(std::vector<SegmentView> sources) {
  MergeJob job{std::move(sources), {}, {}};
  writer_.unlock();
  job.run();
  writer_.lock();
  auto next = std::make_shared<State>(*state());
  // A source that lost its last note, or that was merged elsewhere meanwhile, is gone: then the
  // work is void.
  const bool whole =
      std::all_of(job.sources.begin(), job.sources.end(), [&](const SegmentView& source) {
        return std::any_of(next->segments.begin(), next->segments.end(),
                           [&](const SegmentView& view) { return view.segment == source.segment; });
      });
  if (!whole) return;
  replace(*next, job.sources, job.merged, job.moved);
  publish(std::move(next));
}

void IndexImpl::merge_loop() {
  writer_.lock();
  while (!stopping_) {
    if (auto due = next_merge(); !due.empty()) {
      merge(std::move(due));
    } else if (warm_due_) {
      warm_due_ = false;
      busy_ = false;
      writer_.unlock();
      warm();
      writer_.lock();
    } else {
      wake_.wait_until(writer_, quiet_at_);
    }
  }
  writer_.unlock();
}

void IndexImpl::compact() {
  const MutexLock lock(writer_);
  // A merge may be void each time while others write: then they leave it to the next quiet moment.
  for (std::uint32_t round = 0; round < kMergeTiers; ++round) {
    quiet_at_ = Deadline::after(SteadyClock::duration::zero());
    auto due = next_merge();
    if (due.empty()) return;
    merge(std::move(due));
  }
}

/// Also after an edit, in small steps: a segment that has been warmed is passed by.
void IndexImpl::warm() const {
  const auto current = state();
  const KeywordScorer scorer(options_.ranking, current->totals, {});
  for (const SegmentView& view : current->segments)
    view.segment->term_values.warm(*view.segment, scorer, [this] { return busy_.load(); });
}

IndexStats IndexImpl::stats() const {
  const auto current = state();
  IndexStats out;
  out.epoch = current->epoch;
  out.notes = current->totals.notes;
  out.passages = current->totals.passages;
  out.segments = current->segments.size();
  out.bytes = current->vectors->bytes();
  for (const SegmentView& view : current->segments) {
    const Segment& segment = *view.segment;
    out.terms += segment.term_count();
    out.bytes += segment.bytes();
    for (std::uint32_t unit = 0; unit < segment.unit_count(); ++unit)
      if (segment.unit_slots[unit] != kNoSlot && view.live(segment.unit_notes[unit]) &&
          current->vectors->row_of(segment.unit_slots[unit]) != kNoRow)
        ++out.passages_with_vector;
  }
  return out;
}

Index::Frozen IndexImpl::freeze() const {
  const MutexLock lock(writer_);
  const auto current = state();
  std::vector<std::vector<Hash128>> hashes;
  for (const SegmentView& view : current->segments)
    hashes.push_back(passage_hashes(*view.segment, vectors_));
  return [current, hashes = std::move(hashes)](std::uint64_t stamp, const SnapshotSink& sink) {
    return write_snapshot(*current, hashes, stamp, sink);
  };
}

std::vector<std::pair<NoteId, std::uint64_t>> IndexImpl::cookies() const {
  std::vector<std::pair<NoteId, std::uint64_t>> out;
  const auto current = state();
  for (const SegmentView& view : current->segments) {
    const Segment& segment = *view.segment;
    for (std::uint32_t note = 0; note < segment.note_count(); ++note)
      if (view.live(note)) out.emplace_back(segment.ids[note], segment.cookies[note]);
  }
  return out;
}

Status IndexImpl::restore(std::string_view snapshot) {
  const MutexLock lock(writer_);
  if (!state()->segments.empty()) {
    return make_error(ErrorCode::kFailedPrecondition, "only an empty index can take a snapshot");
  }
  KNAP_TRY(auto segments, read_snapshot(snapshot, vectors_));
  auto next = std::make_shared<State>(*state());
  ++next->epoch;
  next->segments = std::move(segments);
  for (const SegmentView& view : next->segments) {
    const Segment& segment = *view.segment;
    for (std::uint32_t note = 0; note < segment.note_count(); ++note)
      if (view.live(note)) places_[segment.ids[note]] = {&segment, note};
  }
  quiet_at_ = Deadline::after(kQuietAfter);
  publish(std::move(next));
  return {};
}

}  // namespace

void mark_deleted(const Segment& segment, SegmentView& view, NoteSet& deleted, std::uint32_t note) {
  deleted.set(note);
  ++view.deleted_count;
  view.deleted_words += segment.note_lengths[note];
  view.live_units -= segment.first_unit[note + 1] - segment.first_unit[note] - 1;
}

std::optional<std::uint64_t> Index::stamp_of(std::string_view snapshot) {
  return read_stamp(snapshot);
}

std::unique_ptr<Index> Index::create(Options options) {
  return std::make_unique<IndexImpl>(options);
}

}  // namespace knap::search
