#include "term_values.hpp"

#include <algorithm>
#include <array>

#include "keyword.hpp"
#include "knap/base/hash.hpp"
#include "segment.hpp"

namespace knap::search {
namespace {

/// What is kept of a segment may take this and so many times the bytes of its postings.
constexpr std::size_t kBytesPerPostingByte = 4;
constexpr std::size_t kKeptBytesMin = 1U << 20, kKeptBytesMax = 256U << 20;
/// Entry of the table and control block of the pointer, about.
constexpr std::size_t kOverhead = 96;

std::uint64_t key_of(const KeywordScorer& scorer) {
  const RankingSettings& s = scorer.settings();
  const std::array<float, 10> parts{
      s.bm25_k1,     s.bm25_b,      s.weight_title, s.weight_headings,     s.weight_aliases,
      s.weight_tags, s.weight_path, s.weight_body,  scorer.average_note(), scorer.average_unit()};
  return hash64({reinterpret_cast<const char*>(parts.data()), sizeof parts});
}

TermValues compute(const Segment& segment, std::uint32_t term, const TermFormula& formula) {
  TermValues out;
  out.notes.reserve(segment.terms[term].notes);
  out.passages.reserve(segment.terms[term].postings);
  each_value(
      segment, term, formula, [](std::uint32_t) { return true; },
      [&](std::uint32_t note, float value) {
        out.notes.push_back({note, value});
        out.most = std::max(out.most, value);
      },
      [&](std::uint32_t unit, float value) {
        out.passages.push_back({unit, value});
        out.most_passage = std::max(out.most_passage, value);
      });
  out.passages.shrink_to_fit();
  return out;
}

}  // namespace

std::size_t TermValues::bytes() const {
  return kOverhead + (notes.capacity() + passages.capacity()) * sizeof(Value);
}

void TermValueCache::keep(std::uint32_t term, const Values& values, std::size_t bytes_max) const {
  if (!recent_.emplace(term, values).second) return;
  recent_bytes_ += values->bytes();
  if (recent_bytes_ * 2 <= bytes_max) return;
  older_ = std::move(recent_);
  recent_.clear();
  recent_bytes_ = 0;
}

std::vector<TermValueCache::Values> TermValueCache::of(const Segment& segment,
                                                       std::span<const std::uint32_t> terms,
                                                       const KeywordScorer& scorer) const {
  const std::uint64_t key = key_of(scorer);
  const std::size_t bytes_max =
      std::min(kKeptBytesMax, kKeptBytesMin + kBytesPerPostingByte * segment.postings.size());
  std::vector<Values> values(terms.size());
  bool all = true;
  {
    const MutexLock lock(mutex_);
    if (key_ != key) {
      key_ = key;
      recent_.clear();
      older_.clear();
      recent_bytes_ = 0;
    }
    for (std::size_t i = 0; i < terms.size(); ++i) {
      if (const auto found = recent_.find(terms[i]); found != recent_.end()) {
        values[i] = found->second;
      } else if (const auto old = older_.find(terms[i]); old != older_.end()) {
        values[i] = std::move(old->second);
        older_.erase(old);
        keep(terms[i], values[i], bytes_max);
      } else {
        all = false;
      }
    }
  }
  if (all) return values;
  const TermFormula formula = scorer.formula();
  std::vector<std::size_t> made;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    if (values[i]) continue;
    values[i] = std::make_shared<const TermValues>(compute(segment, terms[i], formula));
    made.push_back(i);
  }
  const MutexLock lock(mutex_);
  if (key_ == key)
    for (const std::size_t i : made) keep(terms[i], values[i], bytes_max);
  return values;
}

}  // namespace knap::search
