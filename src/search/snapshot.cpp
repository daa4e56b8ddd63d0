#include "snapshot.hpp"

#include <cstring>
#include <type_traits>

#include "knap/base/assert.hpp"
#include "knap/base/bytes.hpp"

namespace knap::search {
namespace {

static_assert(sizeof(TermInfo) == 24 && sizeof(Block) == 12);

constexpr std::string_view kMagic = "KNAPSRCH";
constexpr std::size_t kChecksumBytes = sizeof(Hash128);
constexpr std::uint32_t kSegmentsMax = 4'096;

/// Gathers what is written into pieces for a sink. After the sink's first error nothing more is
/// given to it.
class Writer {
 public:
  explicit Writer(const Index::SnapshotSink& sink) : sink_(sink) {
    piece_.reserve(Index::kSnapshotPieceBytes);
  }
  template <typename T>
  void value(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    raw({reinterpret_cast<const char*>(&value), sizeof value});
  }
  void text(std::string_view text) {
    count(text.size());
    raw(text);
  }
  template <typename T>
  void values(const std::vector<T>& values) {
    static_assert(std::is_trivially_copyable_v<T>);
    count(values.size());
    raw({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
  }
  void texts(const std::vector<std::string>& texts) {
    count(texts.size());
    for (const std::string& each : texts) text(each);
  }
  Status finish() {
    flush();
    const Hash128 hash = hasher_.digest();
    value(hash.high);
    value(hash.low);
    flush();
    return status_;
  }

 private:
  void count(std::size_t count) { value(static_cast<std::uint64_t>(count)); }
  void raw(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto part = bytes.substr(0, Index::kSnapshotPieceBytes - piece_.size());
      piece_.append(part);
      bytes.remove_prefix(part.size());
      if (piece_.size() == Index::kSnapshotPieceBytes) flush();
    }
  }
  void flush() {
    hasher_.update(piece_);
    if (status_ && !piece_.empty()) status_ = sink_(piece_);
    piece_.clear();
  }

  const Index::SnapshotSink& sink_;
  Status status_;
  std::string piece_;
  Hasher128 hasher_;
};

/// Reads what Writer wrote. After a length that the bytes cannot hold it gives zeros and ok() is
/// false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : in_(bytes) {}
  bool ok() const { return in_.ok(); }
  bool at_end() const { return in_.at_end(); }

  template <typename T>
  T value() {
    return in_.value<T>();
  }
  std::string text() { return std::string(in_.take(value<std::uint64_t>())); }
  template <typename T>
  std::vector<T> values() {
    const auto bytes = in_.take(length(sizeof(T)) * sizeof(T));
    std::vector<T> out(bytes.size() / sizeof(T));
    if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
    return out;
  }
  std::vector<std::string> texts() {
    std::vector<std::string> out(length(sizeof(std::uint64_t)));
    for (std::string& each : out) each = text();
    return out;
  }
  /// A count of things of at least `least_bytes` each: never more than the bytes left can hold.
  std::uint64_t length(std::size_t least_bytes) {
    return in_.plausible(value<std::uint64_t>(), least_bytes);
  }

 private:
  ByteReader in_;
};

using PropertyValue = decltype(FoldedFacts::Property::values)::value_type;

void write_value(Writer& out, const PropertyValue& value) {
  out.value(static_cast<std::uint8_t>(value.index()));
  if (const auto* boolean = std::get_if<bool>(&value))
    out.value(static_cast<std::uint8_t>(*boolean));
  if (const auto* number = std::get_if<double>(&value)) out.value(*number);
  if (const auto* text = std::get_if<std::string>(&value)) out.text(*text);
}

PropertyValue read_value(Reader& in) {
  switch (in.value<std::uint8_t>()) {
    case 1: return in.value<std::uint8_t>() != 0;
    case 2: return in.value<double>();
    case 3: return in.text();
    default: return std::monostate();
  }
}

void write_facts(Writer& out, const FoldedFacts& facts) {
  for (const std::string* text :
       {&facts.path, &facts.name, &facts.title, &facts.type, &facts.language})
    out.text(*text);
  for (const auto* texts : {&facts.tags, &facts.headings, &facts.links_to}) out.texts(*texts);
  out.value(facts.modified_s);
  out.value(facts.created_s);
  out.value(
      static_cast<std::uint8_t>((facts.has_open_task ? 1 : 0) | (facts.has_done_task ? 2 : 0)));
  out.value(static_cast<std::uint64_t>(facts.properties.size()));
  for (const auto& property : facts.properties) {
    out.text(property.name);
    out.value(static_cast<std::uint64_t>(property.values.size()));
    for (const auto& value : property.values) write_value(out, value);
  }
}

std::shared_ptr<const FoldedFacts> read_facts(Reader& in) {
  auto facts = std::make_shared<FoldedFacts>();
  for (std::string* text :
       {&facts->path, &facts->name, &facts->title, &facts->type, &facts->language})
    *text = in.text();
  for (auto* texts : {&facts->tags, &facts->headings, &facts->links_to}) *texts = in.texts();
  facts->modified_s = in.value<std::int64_t>();
  facts->created_s = in.value<std::int64_t>();
  const auto tasks = in.value<std::uint8_t>();
  facts->has_open_task = (tasks & 1) != 0;
  facts->has_done_task = (tasks & 2) != 0;
  facts->properties.resize(in.length(2 * sizeof(std::uint64_t)));
  for (auto& property : facts->properties) {
    property.name = in.text();
    property.values.resize(in.length(1));
    for (auto& value : property.values) value = read_value(in);
  }
  hash_links(*facts);
  return facts;
}

std::vector<std::uint32_t> deleted_notes(const SegmentView& view) {
  std::vector<std::uint32_t> out;
  for (std::uint32_t note = 0; note < view.segment->note_count(); ++note)
    if (!view.live(note)) out.push_back(note);
  return out;
}

void write_segment(Writer& out, const SegmentView& view, const std::vector<Hash128>& hashes) {
  const Segment& segment = *view.segment;
  out.values(segment.ids);
  out.values(segment.cookies);
  out.values(segment.first_unit);
  out.values(segment.languages);
  out.values(segment.note_lengths);
  out.values(segment.unit_notes);
  out.values(segment.unit_lengths);
  out.values(hashes);
  std::vector<std::uint64_t> name_hashes;
  std::vector<std::uint32_t> name_notes;
  for (const auto& [hash, note] : segment.names) {
    name_hashes.push_back(hash);
    name_notes.push_back(note);
  }
  out.values(name_hashes);
  out.values(name_notes);
  out.text(segment.term_texts);
  out.values(segment.terms);
  out.values(segment.blocks);
  out.values(segment.postings);
  out.values(segment.positions);
  out.value(segment.languages_present);
  out.value(segment.body_words);
  for (const auto& facts : segment.facts) write_facts(out, *facts);
  out.values(deleted_notes(view));
}

/// Whether the arrays fit each other, so that no reader leaves them. The checksum vouches for what
/// they hold.
bool fits(const Segment& segment, std::size_t hashes) {
  const std::size_t notes = segment.ids.size();
  const std::size_t units = segment.unit_notes.size();
  if (notes == 0 || segment.cookies.size() != notes || segment.first_unit.size() != notes + 1 ||
      segment.languages.size() != notes || segment.note_lengths.size() != notes ||
      segment.unit_lengths.size() != units || hashes + notes != units ||
      segment.first_unit.front() != 0 || segment.first_unit.back() != units) {
    return false;
  }
  for (std::size_t note = 0; note < notes; ++note) {
    const std::uint32_t begin = segment.first_unit[note], end = segment.first_unit[note + 1];
    if (begin >= end || end > units) return false;
    for (std::uint32_t unit = begin; unit < end; ++unit)
      if (segment.unit_notes[unit] != note) return false;
  }
  for (std::size_t i = 0; i < segment.terms.size(); ++i) {
    const TermInfo& term = segment.terms[i];
    if (term.text_offset > segment.term_texts.size() ||
        term.postings_offset > segment.postings.size() ||
        term.positions_offset > segment.positions.size() ||
        term.first_block > segment.blocks.size() ||
        (i > 0 && term.text_offset < segment.terms[i - 1].text_offset)) {
      return false;
    }
  }
  return true;
}

struct Loaded {
  std::shared_ptr<Segment> segment;
  std::vector<Hash128> hashes;
  std::vector<std::uint32_t> deleted;
};

bool read_segment(Reader& in, Loaded& out) {
  out.segment = std::make_shared<Segment>();
  Segment& segment = *out.segment;
  segment.ids = in.values<NoteId>();
  segment.cookies = in.values<std::uint64_t>();
  segment.first_unit = in.values<std::uint32_t>();
  segment.languages = in.values<Language>();
  segment.note_lengths = in.values<std::uint32_t>();
  segment.unit_notes = in.values<std::uint32_t>();
  segment.unit_lengths = in.values<std::uint16_t>();
  out.hashes = in.values<Hash128>();
  const auto name_hashes = in.values<std::uint64_t>();
  const auto name_notes = in.values<std::uint32_t>();
  if (name_hashes.size() != name_notes.size()) return false;
  for (std::size_t i = 0; i < name_hashes.size(); ++i) {
    if (name_notes[i] >= segment.ids.size()) return false;
    segment.names.emplace_back(name_hashes[i], name_notes[i]);
  }
  segment.term_texts = in.text();
  segment.terms = in.values<TermInfo>();
  segment.blocks = in.values<Block>();
  segment.postings = in.values<std::uint8_t>();
  segment.positions = in.values<std::uint8_t>();
  segment.languages_present = in.value<std::uint32_t>();
  segment.body_words = in.value<std::uint64_t>();
  for (std::size_t i = 0; i < segment.ids.size() && in.ok(); ++i)
    segment.facts.push_back(read_facts(in));
  out.deleted = in.values<std::uint32_t>();
  for (const std::uint32_t note : out.deleted)
    if (note >= segment.ids.size()) return false;
  return in.ok() && segment.facts.size() == segment.ids.size() && fits(segment, out.hashes.size());
}

SegmentView make_view(Loaded loaded, VectorStore& vectors) {
  Segment& segment = *loaded.segment;
  segment.mark_headers();
  segment.unit_slots.resize(segment.unit_count(), kNoSlot);
  auto hash = loaded.hashes.begin();
  for (std::uint32_t unit = 0; unit < segment.unit_count(); ++unit)
    if (!segment.is_header(unit)) segment.unit_slots[unit] = vectors.acquire(*hash++);
  SegmentView view;
  view.live_units = segment.unit_count() - segment.note_count();
  if (!loaded.deleted.empty()) {
    auto deleted = std::make_shared<NoteSet>(segment.note_count());
    for (const std::uint32_t note : loaded.deleted) mark_deleted(segment, view, *deleted, note);
    view.deleted = std::move(deleted);
  }
  view.segment = std::move(loaded.segment);
  return view;
}

Error damaged() { return make_error(ErrorCode::kCorruptData, "the search snapshot is damaged"); }

}  // namespace

std::vector<Hash128> passage_hashes(const Segment& segment, const VectorStore& vectors) {
  std::vector<Hash128> hashes;  // a header has none
  hashes.reserve(segment.unit_count() - segment.note_count());
  for (const Slot slot : segment.unit_slots)
    if (slot != kNoSlot) hashes.push_back(vectors.hash_of(slot));
  return hashes;
}

Status write_snapshot(const State& state, std::span<const std::vector<Hash128>> hashes,
                      std::uint64_t stamp, const Index::SnapshotSink& sink) {
  KNAP_ASSERT(hashes.size() == state.segments.size());
  Writer out(sink);
  for (const char c : kMagic) out.value(c);
  out.value(kSnapshotVersion);
  out.value(stamp);
  out.value(static_cast<std::uint32_t>(state.segments.size()));
  for (std::size_t i = 0; i < hashes.size(); ++i) write_segment(out, state.segments[i], hashes[i]);
  return out.finish();
}

std::optional<std::uint64_t> read_stamp(std::string_view snapshot) {
  if (!snapshot.starts_with(kMagic)) return std::nullopt;
  Reader in(snapshot.substr(kMagic.size()));
  const auto version = in.value<std::uint32_t>();
  const auto stamp = in.value<std::uint64_t>();
  if (!in.ok() || version != kSnapshotVersion) return std::nullopt;
  return stamp;
}

Result<std::vector<SegmentView>> read_snapshot(std::string_view bytes, VectorStore& vectors) {
  if (bytes.size() < kMagic.size() + kChecksumBytes || !bytes.starts_with(kMagic)) return damaged();
  Reader sum(bytes.substr(bytes.size() - kChecksumBytes));
  bytes.remove_suffix(kChecksumBytes);
  Hash128 expected;
  expected.high = sum.value<std::uint64_t>();
  expected.low = sum.value<std::uint64_t>();
  Reader in(bytes.substr(kMagic.size()));
  if (in.value<std::uint32_t>() != kSnapshotVersion)
    return make_error(ErrorCode::kFailedPrecondition, "the search snapshot is of another version");
  in.value<std::uint64_t>();  // the stamp is the caller's business
  if (hash128(bytes) != expected) return damaged();
  const auto count = in.value<std::uint32_t>();
  if (!in.ok() || count > kSegmentsMax) return damaged();
  std::vector<Loaded> loaded(count);
  for (Loaded& each : loaded)
    if (!read_segment(in, each)) return damaged();
  if (!in.at_end()) return damaged();
  std::vector<SegmentView> views;
  for (Loaded& each : loaded) views.push_back(make_view(std::move(each), vectors));
  return views;
}

}  // namespace knap::search
