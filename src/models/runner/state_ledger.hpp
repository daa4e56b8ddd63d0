#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "runner/generation.hpp"

namespace knap::models::runner {

/// Which tokens' key-value state an engine holds, and what is shared.
///
/// The engine has a fixed number of cells, each with the state of one token, and of slots, each a
/// sequence of cells. A fork shares its cells with the slot it came from, so that a beginning that
/// many prompts have in common is computed and stored once. A slot is free, held by a running
/// answer, or kept: nobody uses it, and it is dropped, least recently used first, when room is
/// wanted.
///
/// Threads: one at a time. Cost: longest() compares with every slot.
class StateLedger {
 public:
  using Slot = std::int32_t;
  struct Match {
    Slot slot = -1;
    std::size_t length = 0;
  };

  StateLedger(std::size_t cells, std::size_t slots);

  std::size_t free_cells() const { return free_cells_; }
  std::size_t cells() const { return references_.size(); }
  std::size_t kept() const;
  std::size_t kept_cells() const;  ///< At most so many come free when all kept slots are dropped.
  bool is_kept(Slot slot) const { return slots_[index(slot)].use == Use::kKept; }
  std::optional<Slot> free_slot() const;
  std::size_t length(Slot slot) const { return slots_[index(slot)].tokens.size(); }

  enum class Take { kAnyPart, kWholeSlotsOnly };
  /// The slot that shares the longest beginning with `tokens`. kWholeSlotsOnly: only slots all of
  /// whose tokens are that beginning, for models whose state cannot be cut.
  Match longest(std::span<const Token> tokens, Take take) const;

  /// Gives a free slot to a running answer, with the first `length` cells of `from`.
  void fork(Slot from, Slot to, std::size_t length);
  /// Gives a free or kept slot to a running answer, cut to `length`.
  void hold(Slot slot, std::size_t length);
  /// Adds tokens that were computed. Must fit into free_cells().
  void append(Slot slot, std::span<const Token> tokens);
  /// Ends the holding; the state stays until its room is wanted. Kept slots that it contains are
  /// appended to `dropped` and freed.
  void keep(Slot slot, std::vector<Slot>& dropped);
  void drop(Slot slot);
  /// The kept slot that was used longest ago, except `spared`.
  std::optional<Slot> oldest_kept(Slot spared = -1) const;

 private:
  enum class Use : std::uint8_t { kFree, kHeld, kKept };
  struct Entry {
    Use use = Use::kFree;
    std::uint64_t used = 0;
    std::vector<Token> tokens;
    std::vector<std::uint32_t> cells;  ///< One for each token.
  };
  static std::size_t index(Slot slot) { return static_cast<std::size_t>(slot); }
  void cut(Entry& entry, std::size_t length);

  std::vector<std::uint32_t> references_;  ///< Slots that use each cell.
  std::vector<std::uint32_t> free_;        ///< Cells that nobody uses.
  std::size_t free_cells_;
  std::vector<Entry> slots_;
  std::uint64_t clock_ = 0;
};

}  // namespace knap::models::runner
