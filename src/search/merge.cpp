#include <algorithm>
#include <queue>

#include "knap/base/assert.hpp"
#include "segment.hpp"

namespace knap::search {
namespace {

class Merger {
 public:
  Merger(std::span<const std::shared_ptr<const Segment>> segments, std::span<const NoteSet> deleted)
      : segments_(segments), deleted_(deleted), merged_(std::make_shared<Segment>()) {}

  void copy_notes(std::vector<std::vector<std::uint32_t>>& moved);
  void copy_postings();
  std::shared_ptr<const Segment> take() { return merged_; }

 private:
  void copy_note(const Segment& from, std::uint32_t note, std::vector<std::uint32_t>& units);
  void copy_term(PostingWriter& writer, std::size_t source, std::uint32_t term, bool& begun);

  static constexpr std::uint32_t kNoUnit = 0xFFFFFFFF;
  std::span<const std::shared_ptr<const Segment>> segments_;
  std::span<const NoteSet> deleted_;
  std::shared_ptr<Segment> merged_;
  std::vector<std::vector<std::uint32_t>> units_;  ///< Old unit -> new, per segment.
  std::vector<std::uint32_t> positions_;
};

void Merger::copy_note(const Segment& from, std::uint32_t note, std::vector<std::uint32_t>& units) {
  Segment& to = *merged_;
  const std::uint32_t number = to.note_count();
  to.ids.push_back(from.ids[note]);
  to.cookies.push_back(from.cookies[note]);
  to.languages.push_back(from.languages[note]);
  to.languages_present |= bit(from.languages[note]);
  to.note_lengths.push_back(from.note_lengths[note]);
  to.body_words += from.note_lengths[note];
  to.facts.push_back(from.facts[note]);
  to.first_unit.push_back(to.unit_count());
  for (std::uint32_t unit = from.first_unit[note]; unit < from.first_unit[note + 1]; ++unit) {
    units[unit] = to.unit_count();
    to.unit_notes.push_back(number);
    to.unit_lengths.push_back(from.unit_lengths[unit]);
    to.unit_slots.push_back(from.unit_slots[unit]);
  }
}

void Merger::copy_notes(std::vector<std::vector<std::uint32_t>>& moved) {
  moved.clear();
  for (std::size_t s = 0; s < segments_.size(); ++s) {
    const Segment& from = *segments_[s];
    auto& notes = moved.emplace_back(from.note_count(), kNoNote);
    auto& units = units_.emplace_back(from.unit_count(), kNoUnit);
    for (std::uint32_t note = 0; note < from.note_count(); ++note) {
      if (deleted_[s].test(note)) continue;
      notes[note] = merged_->note_count();
      copy_note(from, note, units);
    }
    for (const auto& [hash, note] : from.names)
      if (notes[note] != kNoNote) merged_->names.emplace_back(hash, notes[note]);
  }
  merged_->first_unit.push_back(merged_->unit_count());
  merged_->mark_headers();
  std::sort(merged_->names.begin(), merged_->names.end());
}

void Merger::copy_term(PostingWriter& writer, std::size_t source, std::uint32_t term, bool& begun) {
  const Segment& from = *segments_[source];
  for (PostingCursor cursor(from, term); cursor.unit() != PostingCursor::kEnd; cursor.next()) {
    const std::uint32_t unit = units_[source][cursor.unit()];
    if (unit == kNoUnit) continue;
    if (!begun) writer.begin_term(from.term_text(term));
    begun = true;
    cursor.positions(positions_);
    if (cursor.header()) {
      writer.add_header(unit, cursor.fields(), positions_);
    } else {
      writer.add_passage(unit, cursor.body(), cursor.heading(), cursor.faint(), positions_);
    }
  }
}

void Merger::copy_postings() {
  struct Head {
    std::string_view text;
    std::size_t source;
    std::uint32_t term;
    bool operator<(const Head& other) const {  // The queue gives the largest first.
      return text != other.text ? text > other.text : source > other.source;
    }
  };
  std::priority_queue<Head> heads;
  for (std::size_t s = 0; s < segments_.size(); ++s)
    if (segments_[s]->term_count() > 0) heads.push({segments_[s]->term_text(0), s, 0});
  PostingWriter writer(*merged_);
  while (!heads.empty()) {
    const std::string_view text = heads.top().text;
    bool begun = false;
    // Sources in order, so that units ascend.
    while (!heads.empty() && heads.top().text == text) {
      const Head head = heads.top();
      heads.pop();
      copy_term(writer, head.source, head.term, begun);
      const Segment& from = *segments_[head.source];
      if (head.term + 1 < from.term_count())
        heads.push({from.term_text(head.term + 1), head.source, head.term + 1});
    }
  }
  writer.finish();
}

}  // namespace

std::shared_ptr<const Segment> merge_segments(
    std::span<const std::shared_ptr<const Segment>> segments, std::span<const NoteSet> deleted,
    std::vector<std::vector<std::uint32_t>>& moved) {
  KNAP_ASSERT(segments.size() == deleted.size());
  Merger merger(segments, deleted);
  merger.copy_notes(moved);
  merger.copy_postings();
  return merger.take();
}

}  // namespace knap::search
