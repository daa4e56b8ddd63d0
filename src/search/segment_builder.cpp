#include <algorithm>
#include <deque>
#include <unordered_map>

#include "knap/base/assert.hpp"
#include "knap/base/text.hpp"
#include "segment.hpp"

namespace knap::search {
namespace {

struct Occurrence {
  std::uint32_t term;
  std::uint32_t unit;
  std::uint32_t place;  ///< Position, with the field in the top 3 bits.
};
constexpr unsigned kFieldShift = 29;
constexpr std::uint32_t kPositionMax = (1U << kFieldShift) - 1;
constexpr std::uint32_t bit_of(Field field) { return 1U << static_cast<unsigned>(field); }

class Builder {
 public:
  explicit Builder(VectorStore& vectors)
      : vectors_(vectors), segment_(std::make_shared<Segment>()) {}

  void add(const NoteInput& note);
  std::shared_ptr<const Segment> finish();

 private:
  std::uint32_t begin_unit(std::uint32_t note, Slot slot, std::uint32_t length);
  std::uint32_t add_text(std::string_view text, std::uint32_t unit, Field field,
                         std::uint32_t first_position);
  std::uint32_t term_of(const Token& token);
  std::vector<Occurrence> by_term() const;
  void write_term(PostingWriter& writer, std::span<const Occurrence> occurrences);

  VectorStore& vectors_;
  std::shared_ptr<Segment> segment_;
  Language language_{};
  /// Slices of the notes' texts, which outlive the builder: most words are folded and stemmed once.
  std::array<std::array<std::unordered_map<std::string_view, std::uint32_t>, 2>, kLanguagesMax>
      slices_;
  std::unordered_map<std::string_view, std::uint32_t> term_ids_;
  std::deque<std::string> term_texts_;
  std::vector<Occurrence> occurrences_;
  std::vector<std::uint32_t> scratch_;
  std::string term_;
};

std::uint32_t Builder::term_of(const Token& token) {
  // Slices that are never stemmed (pairs, wholes) must not answer for words of the same spelling.
  const bool word = token.kind == TokenKind::kWord || token.kind == TokenKind::kPart;
  auto& slices = slices_[static_cast<std::size_t>(language_)][word ? 0 : 1];
  const auto [slice, added] = slices.try_emplace(token.source, 0);
  if (!added) return slice->second;
  make_term(token, language_, term_);
  const auto known = term_ids_.find(term_);
  if (known != term_ids_.end()) return slice->second = known->second;
  const auto id = static_cast<std::uint32_t>(term_texts_.size());
  term_texts_.push_back(term_);
  term_ids_.emplace(term_texts_.back(), id);
  return slice->second = id;
}

std::uint32_t Builder::begin_unit(std::uint32_t note, Slot slot, std::uint32_t length) {
  segment_->unit_notes.push_back(note);
  segment_->unit_slots.push_back(slot);
  segment_->unit_lengths.push_back(
      static_cast<std::uint16_t>(std::min<std::uint32_t>(length, 0xFFFF)));
  return segment_->unit_count() - 1;
}

/// Returns the number of words.
std::uint32_t Builder::add_text(std::string_view text, std::uint32_t unit, Field field,
                                std::uint32_t first_position) {
  return for_each_token(text, [&](const Token& token) {
    const std::uint32_t position = std::min(first_position + token.position, kPositionMax);
    occurrences_.push_back(
        {term_of(token), unit, position | static_cast<std::uint32_t>(field) << kFieldShift});
  });
}

void Builder::add(const NoteInput& input) {
  Segment& segment = *segment_;
  const std::uint32_t note = segment.note_count();
  language_ = language_of(input.language);
  segment.ids.push_back(input.id);
  segment.cookies.push_back(input.cookie);
  segment.languages.push_back(language_);
  segment.languages_present |= bit(language_);
  segment.facts.push_back(std::make_shared<const FoldedFacts>(fold_facts(input.facts)));

  const std::uint32_t header = begin_unit(note, kNoSlot, 0);
  segment.first_unit.push_back(header);
  std::uint32_t position = 0;
  const auto add_name = [&](std::string_view text, Field field) {
    position += add_text(text, header, field, position) + kFieldGap;
  };
  add_name(input.title, Field::kTitle);
  segment.names.emplace_back(name_hash(input.title), note);
  segment.names.emplace_back(name_hash(input.name), note);
  for (const std::string& alias : input.aliases) {
    add_name(alias, Field::kAlias);
    segment.names.emplace_back(name_hash(alias), note);
  }
  for (const std::string& tag : input.tags) add_text(tag, header, Field::kTag, 0);
  std::string_view path = input.path;
  if (const auto dot = path.rfind('.');
      dot != std::string_view::npos && path.find('/', dot) == std::string_view::npos)
    path = path.substr(0, dot);
  add_text(path, header, Field::kPath, 0);
  for (const PassageInput& passage : input.passages)
    add_text(passage.faint, header, Field::kFaint, 0);

  std::uint32_t words = 0;
  for (const PassageInput& passage : input.passages) {
    const std::uint32_t unit = begin_unit(note, vectors_.acquire(passage.hash), 0);
    position = 0;
    for (const std::string& heading : passage.headings)
      position += add_text(heading, unit, Field::kHeading, position) + kFieldGap;
    const std::uint32_t length = add_text(passage.plain, unit, Field::kBody, position);
    add_text(passage.faint, unit, Field::kFaint, position + length + kFieldGap);
    segment.unit_lengths[unit] =
        static_cast<std::uint16_t>(std::min<std::uint32_t>(length, 0xFFFF));
    words += length;
  }
  segment.note_lengths.push_back(words);
  segment.body_words += words;
}

/// Stable counting sort: occurrences stay in order of unit and position within a term.
std::vector<Occurrence> Builder::by_term() const {
  std::vector<std::uint32_t> begins(term_texts_.size() + 1);
  for (const Occurrence& occurrence : occurrences_) ++begins[occurrence.term + 1];
  for (std::size_t i = 1; i < begins.size(); ++i) begins[i] += begins[i - 1];
  std::vector<Occurrence> sorted(occurrences_.size());
  for (const Occurrence& occurrence : occurrences_) sorted[begins[occurrence.term]++] = occurrence;
  return sorted;
}

void Builder::write_term(PostingWriter& writer, std::span<const Occurrence> occurrences) {
  for (std::size_t i = 0; i < occurrences.size();) {
    const std::uint32_t unit = occurrences[i].unit;
    std::uint32_t fields = 0, body = 0, heading = 0, faint = 0;
    scratch_.clear();
    for (; i < occurrences.size() && occurrences[i].unit == unit; ++i) {
      const auto field = static_cast<Field>(occurrences[i].place >> kFieldShift);
      fields |= bit_of(field);
      // Tags and paths have no positions: nobody quotes them. Boilerplate has them in its passage.
      if (field == Field::kTag || field == Field::kPath ||
          (field == Field::kFaint && segment_->is_header(unit)))
        continue;
      scratch_.push_back(occurrences[i].place & kPositionMax);
      heading += field == Field::kHeading ? 1 : 0;
      body += field == Field::kBody ? 1 : 0;
      faint += field == Field::kFaint ? 1 : 0;
    }
    if (segment_->is_header(unit)) {
      writer.add_header(unit, fields & ((1U << kHeaderFields) - 1), scratch_);
    } else {
      writer.add_passage(unit, body, heading, faint, scratch_);
    }
  }
}

std::shared_ptr<const Segment> Builder::finish() {
  Segment& segment = *segment_;
  segment.first_unit.push_back(segment.unit_count());
  segment.mark_headers();
  for (auto& by_kind : slices_)
    for (auto& slices : by_kind) slices = {};
  std::vector<Occurrence> sorted = by_term();
  occurrences_ = {};
  std::vector<std::uint32_t> counts(term_texts_.size() + 1);
  for (const Occurrence& occurrence : sorted) ++counts[occurrence.term + 1];
  for (std::size_t i = 1; i < counts.size(); ++i) counts[i] += counts[i - 1];
  std::vector<std::uint32_t> order(term_texts_.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](std::uint32_t a, std::uint32_t b) { return term_texts_[a] < term_texts_[b]; });
  PostingWriter writer(segment);
  for (const std::uint32_t term : order) {
    writer.begin_term(term_texts_[term]);
    write_term(writer, std::span(sorted).subspan(counts[term], counts[term + 1] - counts[term]));
  }
  writer.finish();
  std::sort(segment.names.begin(), segment.names.end());
  segment.names.erase(std::unique(segment.names.begin(), segment.names.end()), segment.names.end());
  return segment_;
}

}  // namespace

std::uint64_t name_hash(std::string_view text) {
  std::string normal;
  for_each_token(text, [&](const Token& token) {
    if (token.kind == TokenKind::kWhole || token.kind == TokenKind::kBigram) return;
    normal += text::fold(token.source);
    normal += ' ';
  });
  if (normal.empty()) normal = text::fold(text::trim(text));
  return hash64(normal);
}

std::uint64_t note_text_bytes(const NoteInput& note) {
  std::uint64_t bytes = note.title.size() + note.path.size() + 1;
  for (const std::string& alias : note.aliases) bytes += alias.size();
  for (const std::string& tag : note.tags) bytes += tag.size();
  for (const PassageInput& passage : note.passages) {
    bytes += passage.plain.size() + 2 * passage.faint.size();
    for (const std::string& heading : passage.headings) bytes += heading.size();
  }
  return bytes;
}

std::shared_ptr<const Segment> build_segment(std::span<const NoteInput* const> notes,
                                             VectorStore& vectors) {
  Builder builder(vectors);
  for (const NoteInput* note : notes) builder.add(*note);
  return builder.finish();
}

}  // namespace knap::search
