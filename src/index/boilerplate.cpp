#include "boilerplate.hpp"

#include <algorithm>
#include <cmath>

#include "knap/base/bytes.hpp"
#include "knap/base/hash.hpp"
#include "knap/base/text.hpp"

namespace knap::index {
namespace {

constexpr std::uint8_t kVersion = 1;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/// The form in which lines compare; nothing for lines too short to be told from words.
std::optional<std::uint64_t> line_hash(std::string_view line, std::string& scratch) {
  scratch.clear();
  std::size_t words = 0;
  bool between = true, wide = false;
  for (const char c : line) {
    if (is_space(c)) {
      between = true;
      continue;
    }
    if (between) {
      if (words++ > 0) scratch += ' ';
      between = false;
    }
    wide = wide || static_cast<unsigned char>(c) >= 0xE0;  // scripts without spaces among them
    scratch += c;
  }
  if (scratch.size() < Boilerplate::kLineBytesMin) return std::nullopt;
  if (words < Boilerplate::kLineWordsMin && !wide) return std::nullopt;
  return hash64(scratch);
}

template <typename Visit>
void for_each_line(std::string_view text, Visit&& visit) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    visit(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

void append_line(std::string& out, std::string_view line) {
  if (!out.empty()) out += '\n';
  out += line;
}

}  // namespace

std::optional<Boilerplate::Parts> Boilerplate::split(std::string_view plain) const {
  if (lines_.empty()) return std::nullopt;
  Parts parts;
  std::string scratch;
  for_each_line(plain, [&](std::string_view line) {
    const auto hash = line_hash(line, scratch);
    const bool known = hash && std::binary_search(lines_.begin(), lines_.end(), *hash);
    append_line(known ? parts.faint : parts.plain, line);
  });
  if (parts.faint.empty()) return std::nullopt;
  if (text::trim(parts.plain).empty()) {
    parts.plain = plain;
    parts.faint = plain;
  }
  return parts;
}

std::string Boilerplate::encode() const {
  ByteWriter out;
  out.value(kVersion);
  out.varint(lines_.size());
  for (const std::uint64_t line : lines_) out.value(line);
  return out.take();
}

Boilerplate Boilerplate::decode(std::string_view bytes) {
  Boilerplate read;
  ByteReader in(bytes);
  if (in.value<std::uint8_t>() != kVersion) return {};
  const std::size_t count = in.plausible(in.varint(), sizeof(std::uint64_t));
  if (count > kLinesMax) return {};
  for (std::size_t i = 0; i < count && in.ok(); ++i)
    read.lines_.push_back(in.value<std::uint64_t>());
  if (!in.ok() || !in.at_end() || !std::is_sorted(read.lines_.begin(), read.lines_.end()))
    return {};
  return read;
}

void Boilerplate::Learner::add(std::span<const std::string_view> texts) {
  ++notes_;
  std::string scratch;
  for (const std::string_view text : texts) {
    for_each_line(text, [&](std::string_view line) {
      const auto hash = line_hash(line, scratch);
      if (!hash) return;
      auto found = counts_.find(*hash);
      if (found == counts_.end()) {
        if (counts_.size() >= kDistinctMax) return;
        found = counts_.emplace(*hash, Count{}).first;
      }
      // Once a note, however often it stands there.
      if (std::exchange(found->second.last, notes_) != notes_) ++found->second.notes;
    });
  }
}

Boilerplate Boilerplate::Learner::finish() const {
  Boilerplate learned;
  if (notes_ < kNotesMin) return learned;
  const auto least =
      std::max(kRepeatsMin, static_cast<std::uint32_t>(std::ceil(kShareMin * notes_)));
  std::vector<std::pair<std::uint32_t, std::uint64_t>> frequent;
  for (const auto& [line, count] : counts_)
    if (count.notes >= least) frequent.emplace_back(count.notes, line);
  std::sort(frequent.begin(), frequent.end(), std::greater<>());
  if (frequent.size() > kLinesMax) frequent.resize(kLinesMax);
  for (const auto& [notes, line] : frequent) learned.lines_.push_back(line);
  std::sort(learned.lines_.begin(), learned.lines_.end());
  return learned;
}

}  // namespace knap::index
