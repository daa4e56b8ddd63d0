#include "vectors.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "knap/base/assert.hpp"

namespace knap::search {
namespace {
/// Below this many forgotten rows a compaction is not worth the copy.
constexpr std::uint32_t kDeadRowsMin = 1024;
}  // namespace

VectorStore::VectorStore(std::uint32_t dimensions) { rows_.dimensions = dimensions; }

Slot VectorStore::intern(const Hash128& hash) {
  const auto [found, added] = slots_.try_emplace(hash, 0);
  if (!added) return found->second;
  if (free_.empty()) {
    found->second = static_cast<Slot>(entries_.size());
    KNAP_ASSERT(found->second != kNoSlot);
    entries_.push_back({hash, 0});
    rows_.of_slots.push_back(kNoRow);
  } else {
    found->second = free_.back();
    free_.pop_back();
    entries_[found->second] = {hash, 0};
  }
  dirty_ = true;
  return found->second;
}

Slot VectorStore::acquire(const Hash128& hash) {
  const Slot slot = intern(hash);
  ++entries_[slot].uses;
  return slot;
}

void VectorStore::release(Slot slot) {
  KNAP_ASSERT(slot < entries_.size() && entries_[slot].uses > 0);
  if (--entries_[slot].uses > 0) return;
  slots_.erase(entries_[slot].hash);
  if (rows_.of_slots[slot] != kNoRow) ++rows_.dead;
  rows_.of_slots[slot] = kNoRow;
  free_.push_back(slot);
  dirty_ = true;
}

std::span<const std::int8_t> VectorStore::row(const Rows& rows, std::uint32_t index) {
  const auto& values = rows.chunks[index / VectorView::kChunkRows]->values;
  return {values.data() + std::size_t{index % VectorView::kChunkRows} * rows.dimensions,
          rows.dimensions};
}

std::uint32_t VectorStore::append(Rows& rows, std::span<const std::int8_t> values) {
  const std::uint32_t at = rows.count % VectorView::kChunkRows;
  if (at == 0) {
    auto chunk = std::make_shared<VectorView::Chunk>();
    chunk->values.resize(std::size_t{VectorView::kChunkRows} * rows.dimensions);
    chunk->inverse_norms.resize(VectorView::kChunkRows);
    chunk->signs = SignRows(VectorView::kChunkRows, rows.dimensions);
    rows.chunks.push_back(std::move(chunk));
  }
  VectorView::Chunk& last = *rows.chunks.back();
  std::copy(values.begin(), values.end(),
            last.values.begin() + std::ptrdiff_t{at} * rows.dimensions);
  std::int64_t squares = 0;
  for (const std::int8_t value : values) squares += value * value;
  last.inverse_norms[at] = squares > 0 ? 1 / std::sqrt(static_cast<float>(squares)) : 0;
  last.signs.set(at, values);
  return rows.count++;
}

void VectorStore::set(const Hash128& hash, std::span<const std::int8_t> values) {
  KNAP_ASSERT(values.size() == rows_.dimensions);
  const Slot slot = intern(hash);
  if (const std::uint32_t held = rows_.of_slots[slot]; held != kNoRow) {
    if (std::ranges::equal(values, row(rows_, held))) return;
    ++rows_.dead;
  }
  rows_.of_slots[slot] = append(rows_, values);
  dirty_ = true;
}

VectorStore::Rows VectorStore::restart(std::uint32_t dimensions, std::uint64_t space) {
  Rows fresh;
  fresh.dimensions = dimensions;
  fresh.space = space;
  fresh.of_slots.assign(entries_.size(), kNoRow);
  dirty_ = true;
  return std::exchange(rows_, std::move(fresh));
}

void VectorStore::put_back(Rows rows) {
  rows.of_slots.resize(entries_.size(), kNoRow);
  rows_ = std::move(rows);
  dirty_ = true;
}

std::uint64_t VectorStore::bytes() const {
  return (published_ ? published_->bytes() : 0) + slots_.size() * (sizeof(Hash128) + 32) +
         entries_.capacity() * sizeof(Entry) + rows_.of_slots.capacity() * sizeof(std::uint32_t);
}

void VectorStore::compact() {
  Rows fresh;
  fresh.dimensions = rows_.dimensions;
  fresh.space = rows_.space;
  fresh.of_slots = rows_.of_slots;
  for (std::uint32_t& held : fresh.of_slots)
    if (held != kNoRow) held = append(fresh, row(rows_, held));
  rows_ = std::move(fresh);
}

std::shared_ptr<const VectorView> VectorStore::publish() {
  if (!dirty_) return published_;
  if (rows_.dead >= kDeadRowsMin && rows_.dead > rows_.count / 3) compact();
  auto view = std::make_shared<VectorView>();
  view->dimensions = rows_.dimensions;
  view->space = rows_.space;
  view->row_count = rows_.count;
  view->chunks = rows_.chunks;
  view->slot_rows = std::make_shared<const std::vector<std::uint32_t>>(rows_.of_slots);
  published_ = std::move(view);
  dirty_ = false;
  return published_;
}

}  // namespace knap::search
