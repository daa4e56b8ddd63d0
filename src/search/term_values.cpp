#include "term_values.hpp"

#include <algorithm>
#include <array>

#include "keyword.hpp"
#include "knap/base/hash.hpp"
#include "segment.hpp"

namespace knap::search {
namespace {

/// What is kept of a segment may take this and so many times the bytes of its postings.
constexpr std::size_t kBytesPerPostingByte = 6;
constexpr std::size_t kKeptBytesMin = 1U << 20, kKeptBytesMax = 256U << 20;
/// Entry of the table and control block of the pointer, about.
constexpr std::size_t kOverhead = 96;
/// Longer lists are computed when they are asked for again, and only if they take no more than a
/// part of the memory: else each would push out hundreds of others.
constexpr std::uint32_t kLongList = 1U << 14;
constexpr std::size_t kLongListShare = 16;
constexpr std::size_t kAskedMax = 4096;
/// Words that fewer notes hold cost a search next to nothing.
constexpr std::uint32_t kWarmNotesMin = 64;

std::uint64_t key_of(const KeywordScorer& scorer) {
  const RankingSettings& s = scorer.settings();
  const std::array<float, 11> parts{s.bm25_k1,
                                    s.bm25_b,
                                    s.weight_title,
                                    s.weight_headings,
                                    s.weight_aliases,
                                    s.weight_tags,
                                    s.weight_path,
                                    s.weight_boilerplate,
                                    s.weight_body,
                                    scorer.average_note(),
                                    scorer.average_unit()};
  return hash64({reinterpret_cast<const char*>(parts.data()), sizeof parts});
}

std::size_t memory_of(const Segment& segment) {
  return std::min(kKeptBytesMax, kKeptBytesMin + kBytesPerPostingByte * segment.postings.size());
}

/// What the values of a term take, about.
std::size_t bytes_of(const TermInfo& info) {
  return kOverhead + info.notes * sizeof(TermValues::Note) +
         info.postings * sizeof(TermValues::Passage);
}

/// Groups of some four notes each: a note is found by looking at a few.
void make_groups(TermValues& values, std::uint32_t note_count) {
  constexpr std::size_t kNotesOfGroup = 4;
  while ((note_count >> values.group_shift) * kNotesOfGroup > values.notes.size() + kNotesOfGroup)
    ++values.group_shift;
  const std::uint32_t groups = (note_count >> values.group_shift) + 1;
  values.groups.reserve(groups + 1);
  std::uint32_t at = 0;
  for (std::uint32_t group = 0; group < groups; ++group) {
    while (at < values.notes.size() && values.notes[at].note >> values.group_shift < group) ++at;
    values.groups.push_back(at);
  }
  values.groups.push_back(static_cast<std::uint32_t>(values.notes.size()));
}

TermValues compute(const Segment& segment, std::uint32_t term, const TermFormula& formula) {
  TermValues out;
  out.notes.reserve(segment.terms[term].notes);
  out.passages.reserve(segment.terms[term].postings);
  float best = 0;
  std::size_t begin = 0;
  each_value(
      segment, term, formula, [](std::uint32_t) { return true; },
      [&](std::uint32_t note, float value) {
        out.notes.push_back({note, value, best, static_cast<std::uint32_t>(begin)});
        out.most = std::max(out.most, value);
        out.most_passage = std::max(out.most_passage, best);
        best = 0;
        begin = out.passages.size();
      },
      [&](std::uint32_t unit, float value) {
        out.passages.push_back({unit, value});
        best = std::max(best, value);
      });
  out.passages.shrink_to_fit();
  make_groups(out, segment.note_count());
  return out;
}

}  // namespace

std::size_t TermValues::bytes() const {
  return kOverhead + notes.capacity() * sizeof(Note) + passages.capacity() * sizeof(Passage) +
         groups.capacity() * sizeof groups[0];
}

void TermValueCache::keep(std::uint32_t term, const Values& values, std::size_t bytes_max) const {
  if (!recent_.emplace(term, values).second) return;
  recent_bytes_ += values->bytes();
  if (recent_bytes_ * 2 <= bytes_max) return;
  older_ = std::move(recent_);
  recent_.clear();
  recent_bytes_ = 0;
}

TermValueCache::Values TermValueCache::find(std::uint32_t term, std::size_t bytes_max) const {
  if (const auto found = recent_.find(term); found != recent_.end()) return found->second;
  const auto old = older_.find(term);
  if (old == older_.end()) return nullptr;
  Values values = std::move(old->second);
  older_.erase(old);
  keep(term, values, bytes_max);
  return values;
}

bool TermValueCache::worth_computing(const Segment& segment, std::uint32_t term,
                                     std::size_t bytes_max) const {
  const TermInfo& info = segment.terms[term];
  if (info.postings <= kLongList) return true;
  if (bytes_of(info) > bytes_max / kLongListShare) return false;
  if (asked_.contains(term)) return true;
  if (asked_.size() >= kAskedMax) asked_.clear();
  asked_.insert(term);
  return false;
}

void TermValueCache::use_key(std::uint64_t key) const {
  if (key_ == key) return;
  key_ = key;
  recent_.clear();
  older_.clear();
  recent_bytes_ = 0;
}

void TermValueCache::warm(const Segment& segment, const KeywordScorer& scorer,
                          const std::function<bool()>& stop) const {
  const std::uint64_t key = key_of(scorer);
  {
    const MutexLock lock(mutex_);
    if (warmed_ == key) return;
    warmed_ = key;
    use_key(key);
  }
  std::vector<std::uint32_t> terms;
  for (std::uint32_t term = 0; term < segment.term_count(); ++term)
    if (segment.terms[term].notes >= kWarmNotesMin && segment.terms[term].postings <= kLongList)
      terms.push_back(term);
  std::sort(terms.begin(), terms.end(), [&](std::uint32_t a, std::uint32_t b) {
    return segment.terms[a].postings > segment.terms[b].postings;
  });
  const TermFormula formula = scorer.formula();
  const std::size_t bytes_max = memory_of(segment);
  for (const std::uint32_t term : terms) {
    {
      const MutexLock lock(mutex_);
      // A full half would become the older one, and the next would push it out.
      if (key_ != key || (recent_bytes_ + bytes_of(segment.terms[term])) * 2 > bytes_max) return;
      if (recent_.contains(term) || older_.contains(term)) continue;
    }
    if (stop()) {
      const MutexLock lock(mutex_);
      if (warmed_ == key) warmed_ = 0;  // it goes on with the next call
      return;
    }
    auto values = std::make_shared<const TermValues>(compute(segment, term, formula));
    const MutexLock lock(mutex_);
    if (key_ == key) keep(term, values, bytes_max);
  }
}

std::vector<TermValueCache::Values> TermValueCache::of(const Segment& segment,
                                                       std::span<const std::uint32_t> terms,
                                                       const KeywordScorer& scorer) const {
  const std::uint64_t key = key_of(scorer);
  const std::size_t bytes_max = memory_of(segment);
  std::vector<Values> values(terms.size());
  std::vector<std::size_t> wanted;
  {
    const MutexLock lock(mutex_);
    use_key(key);
    for (std::size_t i = 0; i < terms.size(); ++i) {
      values[i] = find(terms[i], bytes_max);
      if (values[i] == nullptr && worth_computing(segment, terms[i], bytes_max))
        wanted.push_back(i);
    }
  }
  if (wanted.empty()) return values;
  const TermFormula formula = scorer.formula();
  for (const std::size_t i : wanted)
    values[i] = std::make_shared<const TermValues>(compute(segment, terms[i], formula));
  const MutexLock lock(mutex_);
  if (key_ == key)
    for (const std::size_t i : wanted) keep(terms[i], values[i], bytes_max);
  return values;
}

}  // namespace knap::search
