#include "term_list.hpp"

#include <algorithm>

namespace knap::search {

TermList::TermList(const Segment& segment, const TermUse& use, TermValueCache::Values values,
                   const TermFormula& formula)
    : segment_(&segment),
      use_(use),
      formula_(formula),
      all_((segment.languages_present & ~use.languages) == 0),
      values_(std::move(values)) {
  if (!values_) cursor_.emplace(segment, use.term);
}

std::uint32_t TermList::next_note() const {
  if (values_)
    return at_ < values_->notes.size() ? values_->notes[at_].note : segment_->note_count();
  return cursor_->unit() == PostingCursor::kEnd ? segment_->note_count()
                                                : segment_->unit_notes[cursor_->unit()];
}

/// The note at which the cursor stands; moves it behind the note.
TermValues::Note TermList::read_note(PostingCursor& cursor) {
  passages_.clear();
  const std::uint32_t note = segment_->unit_notes[cursor.unit()];
  const std::uint32_t end = segment_->first_unit[note + 1];
  float best = 0;
  const float value =
      note_value(*segment_, cursor, end, formula_, [&](std::uint32_t unit, float v) {
        passages_.push_back({unit, v});
        best = std::max(best, v);
      });
  return {note, value, best, 0};
}

TermList::Found TermList::look_up(std::uint32_t note) {
  if (!speaks(note)) return {};
  if (!values_) {
    PostingCursor cursor(*segment_, use_.term);
    cursor.seek(segment_->first_unit[note]);
    if (cursor.unit() >= segment_->first_unit[note + 1]) return {};
    const TermValues::Note found = read_note(cursor);
    return {gain() * found.value, passages_};
  }
  const std::size_t at = values_->find(note);
  if (at == values_->notes.size()) return {};
  return {gain() * values_->notes[at].value, values_->passages_of(at)};
}

}  // namespace knap::search
