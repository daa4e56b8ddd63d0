#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "filter_links.hpp"
#include "keyword.hpp"
#include "segment.hpp"
#include "vectors.hpp"

namespace knap::search {

/// A segment and which of its notes are gone.
struct SegmentView {
  std::shared_ptr<const Segment> segment;
  std::shared_ptr<const NoteSet> deleted;  ///< Null: none.
  std::uint32_t deleted_count = 0;
  std::uint32_t live_units = 0;
  std::uint64_t deleted_words = 0;

  bool live(std::uint32_t note) const { return deleted == nullptr || !deleted->test(note); }
};

/// Marks one note as gone; `deleted` is the view's own set, not yet published.
void mark_deleted(const Segment& segment, SegmentView& view, NoteSet& deleted, std::uint32_t note);

/// Everything that a search reads. Immutable once published.
struct State {
  std::uint64_t epoch = 0;
  std::vector<SegmentView> segments;
  std::shared_ptr<const VectorView> vectors;
  Totals totals;
  std::uint32_t languages = 0;  ///< Set of bit(Language) of the notes.
  LazyFilterLinks links;
};

Result<SearchResult> search_state(const State& state, const Query& query,
                                  std::uint32_t query_words_max, Deadline deadline);

/// Notes of all segments that hold a term, deleted ones included until they are merged away.
std::uint64_t notes_with_term(const State& state, std::string_view term);

}  // namespace knap::search
