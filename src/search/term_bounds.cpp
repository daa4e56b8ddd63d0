#include "term_bounds.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "keyword.hpp"
#include "knap/base/hash.hpp"
#include "segment.hpp"

namespace knap::search {
namespace {

/// Average lengths are rounded up to a power of this.
constexpr double kAverageStep = 1.1;

float rounded_up(float average) {
  const double steps = std::ceil(std::log(static_cast<double>(average)) / std::log(kAverageStep));
  return static_cast<float>(std::pow(kAverageStep, steps));
}

/// The formula with longer averages, which give every note more.
TermFormula generous(const KeywordScorer& scorer) {
  TermFormula formula = scorer.formula(1);
  const float b = scorer.settings().bm25_b;
  formula.note_slope = b / rounded_up(scorer.average_note());
  formula.unit_slope = b / rounded_up(scorer.average_unit());
  return formula;
}

std::uint64_t key_of(const KeywordScorer& scorer, const TermFormula& formula) {
  const RankingSettings& s = scorer.settings();
  const std::array<float, 10> parts{
      s.bm25_k1,     s.bm25_b,      s.weight_title, s.weight_headings,  s.weight_aliases,
      s.weight_tags, s.weight_path, s.weight_body,  formula.note_slope, formula.unit_slope};
  return hash64({reinterpret_cast<const char*>(parts.data()), sizeof parts});
}

TermBounds::Shares largest_shares(const Segment& segment, std::uint32_t term,
                                  const TermFormula& formula) {
  TermBounds::Shares largest;
  for (PostingCursor cursor(segment, term); cursor.unit() != PostingCursor::kEnd;) {
    const std::uint32_t note = segment.unit_notes[cursor.unit()];
    const std::uint32_t end = segment.first_unit[note + 1];
    std::uint32_t fields = 0, body = 0;
    bool heading = false;
    for (; cursor.unit() < end; cursor.next()) {
      if (cursor.header()) {
        fields = cursor.fields();
        continue;
      }
      body += cursor.body();
      heading = heading || cursor.heading() > 0;
      const float value =
          formula.passage(cursor.body(), cursor.heading() > 0, segment.unit_lengths[cursor.unit()]);
      largest.passage = std::max(largest.passage, value / formula.gain);
    }
    const float value = formula.note(body, heading, fields, segment.note_lengths[note]);
    largest.note = std::max(largest.note, value / formula.gain);
  }
  return largest;
}

}  // namespace

std::shared_ptr<TermBounds::Known> TermBounds::known_for(std::uint64_t key,
                                                         std::size_t blocks) const {
  const MutexLock lock(mutex_);
  if (!known_ || known_->key != key) known_ = std::make_shared<Known>(key, blocks);
  return known_;
}

TermBounds::Shares TermBounds::of(const Segment& segment, std::uint32_t term,
                                  const KeywordScorer& scorer) const {
  const TermInfo& info = segment.terms[term];
  if (info.postings <= kBlockPostings) return {1, 1};
  const TermFormula formula = generous(scorer);
  const std::uint64_t key = key_of(scorer, formula);
  const std::shared_ptr<Known> known = known_for(key, segment.blocks.size());
  std::atomic<Shares>& value = known->values[info.first_block];
  Shares shares = value.load(std::memory_order_relaxed);
  if (shares.note <= 0) {
    shares = largest_shares(segment, term, formula);
    value.store(shares, std::memory_order_relaxed);
  }
  return shares;
}

}  // namespace knap::search
