#include "runner/state_ledger.hpp"

#include <algorithm>
#include <ranges>

#include "knap/base/assert.hpp"

namespace knap::models::runner {

StateLedger::StateLedger(std::size_t cells, std::size_t slots)
    : references_(cells, 0), free_(cells), free_cells_(cells), slots_(slots) {
  for (std::size_t i = 0; i < cells; ++i) free_[i] = static_cast<std::uint32_t>(i);
}

std::size_t StateLedger::kept() const {
  return static_cast<std::size_t>(std::ranges::count(slots_, Use::kKept, &Entry::use));
}

std::size_t StateLedger::kept_cells() const {
  std::size_t total = 0;
  for (const Entry& entry : slots_) {
    if (entry.use == Use::kKept) total += entry.cells.size();
  }
  return total;
}

std::optional<StateLedger::Slot> StateLedger::free_slot() const {
  const auto found = std::ranges::find(slots_, Use::kFree, &Entry::use);
  if (found == slots_.end()) return std::nullopt;
  return static_cast<Slot>(found - slots_.begin());
}

StateLedger::Match StateLedger::longest(std::span<const Token> tokens, Take take) const {
  Match best;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const auto& held = slots_[i].tokens;
    const auto shared =
        static_cast<std::size_t>(std::ranges::mismatch(held, tokens).in1 - held.begin());
    if (take == Take::kWholeSlotsOnly && shared < held.size()) continue;
    if (shared > best.length) best = {static_cast<Slot>(i), shared};
  }
  return best;
}

void StateLedger::fork(Slot from, Slot to, std::size_t length) {
  Entry& source = slots_[index(from)];
  Entry& target = slots_[index(to)];
  KNAP_ASSERT(target.use == Use::kFree && length <= source.tokens.size());
  const auto end = static_cast<std::ptrdiff_t>(length);
  target.tokens.assign(source.tokens.begin(), source.tokens.begin() + end);
  target.cells.assign(source.cells.begin(), source.cells.begin() + end);
  for (const std::uint32_t cell : target.cells) ++references_[cell];
  target.use = Use::kHeld;
  source.used = target.used = ++clock_;
}

void StateLedger::hold(Slot slot, std::size_t length) {
  Entry& entry = slots_[index(slot)];
  KNAP_ASSERT(entry.use != Use::kHeld && length <= entry.tokens.size());
  cut(entry, length);
  entry.use = Use::kHeld;
  entry.used = ++clock_;
}

void StateLedger::append(Slot slot, std::span<const Token> tokens) {
  Entry& entry = slots_[index(slot)];
  KNAP_ASSERT(entry.use == Use::kHeld && tokens.size() <= free_cells_);
  for (const Token token : tokens) {
    const std::uint32_t cell = free_.back();
    free_.pop_back();
    references_[cell] = 1;
    entry.tokens.push_back(token);
    entry.cells.push_back(cell);
  }
  free_cells_ -= tokens.size();
}

void StateLedger::keep(Slot slot, std::vector<Slot>& dropped) {
  Entry& entry = slots_[index(slot)];
  KNAP_ASSERT(entry.use == Use::kHeld);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Entry& other = slots_[i];
    if (other.use != Use::kKept || other.tokens.size() > entry.tokens.size() ||
        !std::ranges::equal(
            other.tokens,
            std::views::take(entry.tokens, static_cast<std::ptrdiff_t>(other.tokens.size()))))
      continue;
    dropped.push_back(static_cast<Slot>(i));
    drop(static_cast<Slot>(i));
  }
  entry.use = Use::kKept;
  entry.used = ++clock_;
}

void StateLedger::drop(Slot slot) {
  Entry& entry = slots_[index(slot)];
  cut(entry, 0);
  entry.use = Use::kFree;
}

std::optional<StateLedger::Slot> StateLedger::oldest_kept(Slot spared) const {
  std::optional<Slot> oldest;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const auto slot = static_cast<Slot>(i);
    if (slots_[i].use != Use::kKept || slot == spared) continue;
    if (!oldest || slots_[i].used < slots_[index(*oldest)].used) oldest = slot;
  }
  return oldest;
}

void StateLedger::cut(Entry& entry, std::size_t length) {
  for (std::size_t i = length; i < entry.cells.size(); ++i) {
    if (--references_[entry.cells[i]] > 0) continue;
    free_.push_back(entry.cells[i]);
    ++free_cells_;
  }
  entry.tokens.resize(length);
  entry.cells.resize(length);
}

}  // namespace knap::models::runner
