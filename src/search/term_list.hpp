#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "keyword.hpp"
#include "segment.hpp"

namespace knap::search {

/// What one term gives to the notes of a segment, read by rising note or looked up note by note:
/// from the values that are kept, or from the postings where they are not. The gain is included.
class TermList {
 public:
  struct Found {
    float value = 0;
    std::span<const TermValues::Passage> passages;  ///< Without the gain.
  };

  /// @param values  null: none are kept
  TermList(const Segment& segment, const TermUse& use, TermValueCache::Values values,
           const TermFormula& formula);

  float gain() const { return use_.gain; }
  /// No note, and no passage, gets more.
  float most() const { return gain() * (values_ ? values_->most : 1); }
  float most_passage() const { return gain() * (values_ ? values_->most_passage : 1); }
  std::size_t notes() const { return segment_->terms[use_.term].notes; }
  /// The first note that was not read; the segment's count of notes after the last.
  std::uint32_t next_note() const;
  /// Reads on to a note: out(note, value, its best passage's value) for each that holds the term.
  template <class Out>
  void read_until(std::uint32_t end, Out out);
  /// All of some notes, wherever reading stands: note(note, value), and passage(unit, value) for
  /// each that holds the term.
  template <class Note, class Passage>
  void read_all(std::uint32_t first, std::uint32_t end, Note note, Passage passage);
  /// One note, wherever reading stands. The passages hold until the next call.
  Found look_up(std::uint32_t note);

 private:
  bool speaks(std::uint32_t note) const {
    return all_ || (bit(segment_->languages[note]) & use_.languages) != 0;
  }
  TermValues::Note read_note(PostingCursor& cursor);

  const Segment* segment_;
  TermUse use_;
  TermFormula formula_;
  bool all_;  ///< In notes of all languages that there are.
  TermValueCache::Values values_;
  std::size_t at_ = 0;                         ///< The first of the values that was not read.
  std::optional<PostingCursor> cursor_;        ///< Without kept values.
  std::vector<TermValues::Passage> passages_;  ///< Of the note that the cursor read.
};

template <class Out>
void TermList::read_until(std::uint32_t end, Out out) {
  if (!values_) {
    const std::uint32_t end_unit = segment_->first_unit[end];
    while (cursor_->unit() < end_unit) {
      const TermValues::Note note = read_note(*cursor_);
      if (speaks(note.note)) out(note.note, gain() * note.value, gain() * note.best_passage);
    }
    return;
  }
  const TermValues::Note* const begin = values_->notes.data();
  const TermValues::Note *at = begin + at_, *const last = begin + values_->notes.size();
  const float gain = use_.gain;
  if (all_) {
    for (; at != last && at->note < end; ++at)
      out(at->note, gain * at->value, gain * at->best_passage);
  } else {
    for (; at != last && at->note < end; ++at)
      if (speaks(at->note)) out(at->note, gain * at->value, gain * at->best_passage);
  }
  at_ = static_cast<std::size_t>(at - begin);
}

template <class Note, class Passage>
void TermList::read_all(std::uint32_t first, std::uint32_t end, Note note, Passage passage) {
  if (!values_) {
    PostingCursor cursor(*segment_, use_.term);
    cursor.seek(segment_->first_unit[first]);
    const std::uint32_t end_unit = segment_->first_unit[end];
    while (cursor.unit() < end_unit) {
      const TermValues::Note found = read_note(cursor);
      if (!speaks(found.note)) continue;
      note(found.note, gain() * found.value);
      for (const auto& [unit, value] : passages_) passage(unit, gain() * value);
    }
    return;
  }
  const std::vector<TermValues::Note>& notes = values_->notes;
  const float gain = use_.gain;
  for (std::size_t at = values_->first_from(first); at < notes.size() && notes[at].note < end;
       ++at) {
    if (!all_ && !speaks(notes[at].note)) continue;
    note(notes[at].note, gain * notes[at].value);
    for (const auto& [unit, value] : values_->passages_of(at)) passage(unit, gain * value);
  }
}

}  // namespace knap::search
