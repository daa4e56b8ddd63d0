#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "analyser.hpp"
#include "facts.hpp"
#include "knap/search/index.hpp"
#include "term_values.hpp"
#include "vectors.hpp"

namespace knap::search {

/// Where a word stands.
/// The first kHeaderFields stand in a note's header. kFaint (see PassageInput::faint) counts there,
/// once a note, and has its positions in the passage.
enum class Field : std::uint8_t { kTitle, kAlias, kTag, kPath, kFaint, kHeading, kBody };
constexpr unsigned kHeaderFields = 5;

/// A set of notes of one segment, one bit a note. Bits beyond its size are clear.
class NoteSet {
 public:
  NoteSet() = default;
  explicit NoteSet(std::size_t size) : words_((size + 63) / 64) {}
  bool test(std::uint32_t note) const {
    const std::size_t word = note / 64;
    return word < words_.size() && (words_[word] >> (note % 64) & 1) != 0;
  }
  /// All of `size` notes but those of this set.
  NoteSet without(std::size_t size) const {
    NoteSet out(size);
    for (std::size_t w = 0; w < out.words_.size(); ++w)
      out.words_[w] = ~(w < words_.size() ? words_[w] : 0);
    if (size % 64 != 0) out.words_.back() &= (std::uint64_t{1} << (size % 64)) - 1;
    return out;
  }
  void set(std::uint32_t note) { words_[note / 64] |= std::uint64_t{1} << (note % 64); }
  std::uint32_t count() const {
    std::uint32_t sum = 0;
    for (const std::uint64_t word : words_) sum += static_cast<std::uint32_t>(std::popcount(word));
    return sum;
  }
  void reset(std::uint32_t note) { words_[note / 64] &= ~(std::uint64_t{1} << (note % 64)); }

 private:
  std::vector<std::uint64_t> words_;
};

/// What a term's dictionary entry says.
struct TermInfo {
  std::uint32_t text_offset = 0;
  std::uint32_t notes = 0;     ///< That hold the term, deleted ones included.
  std::uint32_t postings = 0;  ///< Units that hold it.
  std::uint32_t postings_offset = 0;
  std::uint32_t positions_offset = 0;
  std::uint32_t first_block = 0;
};

/// Start of a block of kBlockPostings postings, for terms with more than one block.
struct Block {
  std::uint32_t last_unit_before =
      0;  ///< Last unit of the block before, plus one; 0 for the first.
  std::uint32_t postings_offset = 0;
  std::uint32_t positions_offset = 0;
};
/// A look-up reads half a block: 16 in place of 64 take .6 bytes more a posting and make phrases of
/// a query's words twice as quick to check.
constexpr std::uint32_t kBlockPostings = 16;

/// An immutable part of the index.
///
/// Notes are numbered 0..note_count()-1. A note is a row of units: first its header (title,
/// aliases, tags, path), then its passages in order. Postings are by unit, so one pass over them
/// gives both the note's and each passage's frequencies.
///
/// A posting is varint(unit - last unit - 1), then for a header varint(field mask | positions <<
/// kHeaderFields), for a passage varint(body frequency << 2 | has faint << 1 | has heading) and,
/// where it has them, varint(heading frequency) and varint(faint frequency). Positions are varint
/// deltas, in a stream apart, so that scoring does not read past them.
///
/// Threads: const and safe from any thread.
struct Segment {
  std::vector<NoteId> ids;
  std::vector<std::uint64_t> cookies;
  std::vector<std::uint32_t> first_unit;  ///< note_count() + 1 entries.
  std::vector<Language> languages;
  std::vector<std::uint32_t> note_lengths;  ///< Words in the body.
  std::vector<std::shared_ptr<const FoldedFacts>> facts;
  std::vector<std::uint32_t> unit_notes;
  std::vector<std::uint16_t> unit_lengths;  ///< Words in the passage, at most 65,535.
  std::vector<Slot> unit_slots;             ///< kNoSlot for headers.
  std::vector<std::pair<std::uint64_t, std::uint32_t>>
      names;  ///< Hash of a normalised title or alias -> note; sorted.

  std::string term_texts;
  std::vector<TermInfo> terms;  ///< Sorted by text; one more at the end that closes the last.
  std::vector<Block> blocks;
  std::vector<std::uint8_t> postings;
  std::vector<std::uint8_t> positions;
  std::uint32_t languages_present = 0;  ///< Set of bit(Language).
  std::uint64_t body_words = 0;
  std::vector<std::uint64_t> headers;  ///< One bit a unit; made by mark_headers().
  TermValueCache term_values;          ///< Filled by searches; no part of what the segment holds.

  std::uint32_t note_count() const { return static_cast<std::uint32_t>(ids.size()); }
  std::uint32_t unit_count() const { return static_cast<std::uint32_t>(unit_notes.size()); }
  std::uint32_t term_count() const {
    return static_cast<std::uint32_t>(terms.empty() ? 0 : terms.size() - 1);
  }
  bool is_header(std::uint32_t unit) const { return (headers[unit / 64] >> (unit % 64) & 1) != 0; }
  /// Once, when all units are there.
  void mark_headers();
  std::string_view term_text(std::uint32_t term) const {
    return std::string_view(term_texts)
        .substr(terms[term].text_offset, terms[term + 1].text_offset - terms[term].text_offset);
  }
  /// Index of the term, or -1.
  std::int64_t find(std::string_view term) const;
  /// The range of terms that start with a text.
  std::pair<std::uint32_t, std::uint32_t> prefix_range(std::string_view prefix) const;
  std::uint64_t bytes() const;
};

/// Reads a term's postings in order of unit.
class PostingCursor {
 public:
  static constexpr std::uint32_t kEnd = 0xFFFFFFFF;

  PostingCursor(const Segment& segment, std::uint32_t term);

  std::uint32_t unit() const { return unit_; }  ///< kEnd after the last.
  void next();
  /// Moves to the first posting at or after `unit`; never back.
  void seek(std::uint32_t unit);

  std::uint32_t postings() const { return info_->postings; }
  bool header() const { return header_; }
  std::uint32_t fields() const { return fields_; }  ///< Header: set of 1 << Field.
  std::uint32_t body() const { return body_; }
  std::uint32_t heading() const { return heading_; }
  std::uint32_t faint() const { return faint_; }  ///< In boilerplate: positions, no frequency.
  /// Word positions within the unit, ascending. Fields are apart by kFieldGap.
  void positions(std::vector<std::uint32_t>& out);

 private:
  void open_block(std::uint32_t block);

  const Segment* segment_;
  const TermInfo* info_;
  const std::uint8_t* at_;
  std::uint32_t left_;
  std::uint32_t previous_ = 0;  ///< Last unit plus one.
  std::uint32_t unit_ = 0;
  std::uint32_t fields_ = 0, body_ = 0, heading_ = 0, faint_ = 0;
  std::uint32_t position_count_ = 0;
  bool header_ = false;
  std::uint32_t positions_at_;        ///< Offset of the next unread list of positions.
  std::uint32_t positions_owed_ = 0;  ///< Values to skip before the current posting's list.
};

/// Positions of the fields of one unit are this far apart, so that no phrase spans two.
constexpr std::uint32_t kFieldGap = 16;

/// The form in which titles and aliases are compared with a whole query.
std::uint64_t name_hash(std::string_view text);

void append_varint(std::vector<std::uint8_t>& out, std::uint32_t value);
inline std::uint32_t read_varint(const std::uint8_t*& at) {
  std::uint32_t value = *at++;
  if (value < 0x80) return value;
  value &= 0x7F;
  for (unsigned shift = 7;; shift += 7) {
    const std::uint32_t byte = *at++;
    value |= (byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
}

/// Passes by `count` numbers, eight bytes at a time: a number ends with a byte below 0x80.
/// @param end  of what may be read
inline void skip_varints(const std::uint8_t*& at, std::uint32_t count, const std::uint8_t* end) {
  constexpr std::uint64_t kHighBits = 0x8080'8080'8080'8080;
  while (count >= 8 && end - at >= 8) {
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, at, sizeof bytes);
    count -= static_cast<std::uint32_t>(std::popcount(~bytes & kHighBits));
    at += sizeof bytes;
  }
  for (; count > 0; --count) read_varint(at);
}

/// A list of postings under construction.
class PostingWriter {
 public:
  explicit PostingWriter(Segment& segment) : segment_(segment) {}
  /// Terms must come in ascending order.
  void begin_term(std::string_view text);
  void add_header(std::uint32_t unit, std::uint32_t fields,
                  std::span<const std::uint32_t> positions);
  void add_passage(std::uint32_t unit, std::uint32_t body, std::uint32_t heading,
                   std::uint32_t faint, std::span<const std::uint32_t> positions);
  void finish();  ///< Once, after the last term.

 private:
  void begin_posting(std::uint32_t unit);
  void write_positions(std::span<const std::uint32_t> positions);

  Segment& segment_;
  std::uint32_t previous_ = 0;
  std::uint32_t last_note_ = 0xFFFFFFFF;
};

/// Makes a segment of notes. Passage hashes become slots of `vectors`, each counted as used.
/// @pre at most kSegmentTextBytesMax of text, see note_text_bytes()
std::shared_ptr<const Segment> build_segment(std::span<const NoteInput* const> notes,
                                             VectorStore& vectors);
/// Bounds the builder's memory (12 bytes a word) and the 32-bit offsets of a segment.
constexpr std::uint64_t kSegmentTextBytesMax = 4U << 20;
/// Segments above this are not merged any more.
constexpr std::uint64_t kMergedBytesMax = 1U << 30;
std::uint64_t note_text_bytes(const NoteInput& note);

/// One segment from several, without the notes that are set in `deleted` (one set a segment).
/// @param moved  receives, per input segment and note, the new number, or kNoNote for deleted ones
constexpr std::uint32_t kNoNote = 0xFFFFFFFF;
std::shared_ptr<const Segment> merge_segments(
    std::span<const std::shared_ptr<const Segment>> segments, std::span<const NoteSet> deleted,
    std::vector<std::vector<std::uint32_t>>& moved);

}  // namespace knap::search
