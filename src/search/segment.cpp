#include "segment.hpp"

#include <algorithm>

#include "knap/base/assert.hpp"

namespace knap::search {

std::int64_t Segment::find(std::string_view term) const {
  std::uint32_t low = 0, high = term_count();
  while (low < high) {
    const std::uint32_t middle = low + (high - low) / 2;
    const int order = term_text(middle).compare(term);
    if (order == 0) return middle;
    if (order < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return -1;
}

std::pair<std::uint32_t, std::uint32_t> Segment::prefix_range(std::string_view prefix) const {
  const auto first_where = [&](auto holds) {
    std::uint32_t low = 0, high = term_count();
    while (low < high) {
      const std::uint32_t middle = low + (high - low) / 2;
      if (holds(term_text(middle))) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  };
  const std::uint32_t begin = first_where([&](std::string_view text) { return text >= prefix; });
  const std::uint32_t end =
      first_where([&](std::string_view text) { return text.substr(0, prefix.size()) > prefix; });
  return {begin, std::max(begin, end)};
}

void Segment::mark_headers() {
  headers.assign((unit_count() + 63) / 64, 0);
  for (std::uint32_t note = 0; note < note_count(); ++note)
    headers[first_unit[note] / 64] |= std::uint64_t{1} << (first_unit[note] % 64);
}

std::uint64_t Segment::bytes() const {
  const auto size = [](const auto& values) { return values.capacity() * sizeof values[0]; };
  std::uint64_t bytes = sizeof *this + size(ids) + size(first_unit) + size(languages) +
                        size(note_lengths) + size(facts) + size(unit_notes) + size(unit_lengths) +
                        size(unit_slots) + size(headers) + size(names) + term_texts.capacity() +
                        size(terms) + size(blocks) + size(postings) + size(positions);
  for (const auto& fact : facts) bytes += fact->bytes();
  return bytes;
}

void append_varint(std::vector<std::uint8_t>& out, std::uint32_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<std::uint8_t>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<std::uint8_t>(value));
}

PostingCursor::PostingCursor(const Segment& segment, std::uint32_t term)
    : segment_(&segment),
      info_(&segment.terms[term]),
      at_(segment.postings.data() + info_->postings_offset),
      left_(info_->postings),
      positions_at_(info_->positions_offset) {
  next();
}

void PostingCursor::next() {
  positions_owed_ += position_count_;
  position_count_ = 0;
  if (left_ == 0) {
    unit_ = kEnd;
    return;
  }
  --left_;
  unit_ = previous_ + read_varint(at_);
  previous_ = unit_ + 1;
  header_ = segment_->is_header(unit_);
  const std::uint32_t code = read_varint(at_);
  if (header_) {
    fields_ = code & ((1U << kHeaderFields) - 1);
    body_ = heading_ = faint_ = 0;
    position_count_ = code >> kHeaderFields;
    return;
  }
  fields_ = 0;
  body_ = code >> 2;
  heading_ = (code & 1) != 0 ? read_varint(at_) : 0;
  faint_ = (code & 2) != 0 ? read_varint(at_) : 0;
  position_count_ = body_ + heading_ + faint_;
}

void PostingCursor::open_block(std::uint32_t block) {
  const Block& start = segment_->blocks[info_->first_block + block];
  at_ = segment_->postings.data() + start.postings_offset;
  previous_ = start.last_unit_before;
  left_ = info_->postings - block * kBlockPostings;
  positions_at_ = start.positions_offset;
  positions_owed_ = 0;
  position_count_ = 0;
  next();
}

void PostingCursor::seek(std::uint32_t unit) {
  if (unit_ == kEnd || unit_ >= unit) return;
  if (info_->postings > kBlockPostings) {
    const std::uint32_t block_count = (info_->postings + kBlockPostings - 1) / kBlockPostings;
    const std::uint32_t current = (info_->postings - left_ - 1) / kBlockPostings;
    const Block* begin = segment_->blocks.data() + info_->first_block;
    // The last block whose units all lie behind what stands before it: the first that can hold
    // `unit`.
    const Block* found = std::upper_bound(
        begin + current + 1, begin + block_count, unit,
        [](std::uint32_t value, const Block& b) { return value < b.last_unit_before; });
    const auto target = static_cast<std::uint32_t>(found - begin) - 1;
    if (target > current) open_block(target);
  }
  while (unit_ < unit) next();
}

void PostingCursor::positions(std::vector<std::uint32_t>& out) {
  out.clear();
  if (unit_ == kEnd) return;
  const std::uint8_t* at = segment_->positions.data() + positions_at_;
  skip_varints(at, positions_owed_, segment_->positions.data() + segment_->positions.size());
  positions_owed_ = 0;
  positions_at_ = static_cast<std::uint32_t>(at - segment_->positions.data());
  std::uint32_t position = 0;
  for (std::uint32_t i = 0; i < position_count_; ++i) {
    position += read_varint(at);
    out.push_back(position);
  }
}

void PostingWriter::begin_term(std::string_view text) {
  TermInfo info;
  info.text_offset = static_cast<std::uint32_t>(segment_.term_texts.size());
  info.postings_offset = static_cast<std::uint32_t>(segment_.postings.size());
  info.positions_offset = static_cast<std::uint32_t>(segment_.positions.size());
  info.first_block = static_cast<std::uint32_t>(segment_.blocks.size());
  segment_.term_texts += text;
  segment_.terms.push_back(info);
  previous_ = 0;
  last_note_ = 0xFFFFFFFF;
}

void PostingWriter::begin_posting(std::uint32_t unit) {
  TermInfo& info = segment_.terms.back();
  KNAP_DCHECK(unit >= previous_);
  if (info.postings % kBlockPostings == 0) {
    // The first block is written only when a second follows: most terms are rare.
    if (info.postings == kBlockPostings)
      segment_.blocks.push_back({0, info.postings_offset, info.positions_offset});
    if (info.postings > 0) {
      segment_.blocks.push_back({previous_, static_cast<std::uint32_t>(segment_.postings.size()),
                                 static_cast<std::uint32_t>(segment_.positions.size())});
    }
  }
  ++info.postings;
  if (const std::uint32_t note = segment_.unit_notes[unit]; note != last_note_) {
    ++info.notes;
    last_note_ = note;
  }
  append_varint(segment_.postings, unit - previous_);
  previous_ = unit + 1;
}

void PostingWriter::write_positions(std::span<const std::uint32_t> positions) {
  std::uint32_t last = 0;
  for (const std::uint32_t position : positions) {
    append_varint(segment_.positions, position - last);
    last = position;
  }
}

void PostingWriter::add_header(std::uint32_t unit, std::uint32_t fields,
                               std::span<const std::uint32_t> positions) {
  begin_posting(unit);
  append_varint(segment_.postings, fields | static_cast<std::uint32_t>(positions.size())
                                                << kHeaderFields);
  write_positions(positions);
}

void PostingWriter::add_passage(std::uint32_t unit, std::uint32_t body, std::uint32_t heading,
                                std::uint32_t faint, std::span<const std::uint32_t> positions) {
  KNAP_DCHECK(positions.size() == body + heading + faint);
  begin_posting(unit);
  append_varint(segment_.postings, body << 2 | (faint > 0 ? 2 : 0) | (heading > 0 ? 1 : 0));
  if (heading > 0) append_varint(segment_.postings, heading);
  if (faint > 0) append_varint(segment_.postings, faint);
  write_positions(positions);
}

void PostingWriter::finish() {
  TermInfo end;
  end.text_offset = static_cast<std::uint32_t>(segment_.term_texts.size());
  end.postings_offset = static_cast<std::uint32_t>(segment_.postings.size());
  end.positions_offset = static_cast<std::uint32_t>(segment_.positions.size());
  end.first_block = static_cast<std::uint32_t>(segment_.blocks.size());
  segment_.terms.push_back(end);
  segment_.term_texts.shrink_to_fit();
  segment_.terms.shrink_to_fit();
  segment_.blocks.shrink_to_fit();
  segment_.postings.shrink_to_fit();
  segment_.positions.shrink_to_fit();
}

}  // namespace knap::search
