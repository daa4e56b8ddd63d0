#include "vectors.hpp"

#include <algorithm>
#include <cmath>

#include "knap/base/assert.hpp"

namespace knap::search {
namespace {
/// Below this many forgotten rows a compaction is not worth the copy.
constexpr std::uint32_t kDeadRowsMin = 1024;
}  // namespace

VectorStore::VectorStore(std::uint32_t dimensions) : dimensions_(dimensions) {}

Slot VectorStore::intern(const Hash128& hash) {
  const auto [found, added] = slots_.try_emplace(hash, 0);
  if (!added) return found->second;
  if (free_.empty()) {
    found->second = static_cast<Slot>(entries_.size());
    KNAP_ASSERT(found->second != kNoSlot);
    entries_.push_back({hash, 0});
    rows_.push_back(kNoRow);
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
  if (rows_[slot] != kNoRow) ++dead_rows_;
  rows_[slot] = kNoRow;
  free_.push_back(slot);
  dirty_ = true;
}

std::span<const std::int8_t> VectorStore::row(std::uint32_t index) const {
  const auto& values = chunks_[index / VectorView::kChunkRows]->values;
  return {values.data() + std::size_t{index % VectorView::kChunkRows} * dimensions_, dimensions_};
}

std::uint32_t VectorStore::append(std::span<const std::int8_t> values) {
  const std::uint32_t at = row_count_ % VectorView::kChunkRows;
  if (at == 0) {
    auto chunk = std::make_shared<VectorView::Chunk>();
    chunk->values.resize(std::size_t{VectorView::kChunkRows} * dimensions_);
    chunk->inverse_norms.resize(VectorView::kChunkRows);
    chunks_.push_back(std::move(chunk));
  }
  std::copy(values.begin(), values.end(),
            chunks_.back()->values.begin() + std::ptrdiff_t{at} * dimensions_);
  std::int64_t squares = 0;
  for (const std::int8_t value : values) squares += value * value;
  chunks_.back()->inverse_norms[at] = squares > 0 ? 1 / std::sqrt(static_cast<float>(squares)) : 0;
  return row_count_++;
}

void VectorStore::set(const Hash128& hash, std::span<const std::int8_t> values) {
  KNAP_ASSERT(values.size() == dimensions_);
  const Slot slot = intern(hash);
  if (const std::uint32_t held = rows_[slot]; held != kNoRow) {
    if (std::ranges::equal(values, row(held))) return;
    ++dead_rows_;
  }
  rows_[slot] = append(values);
  dirty_ = true;
}

void VectorStore::clear() {
  std::fill(rows_.begin(), rows_.end(), kNoRow);
  chunks_.clear();
  row_count_ = dead_rows_ = 0;
  dirty_ = true;
}

std::uint64_t VectorStore::bytes() const {
  return (published_ ? published_->bytes() : 0) + slots_.size() * (sizeof(Hash128) + 32) +
         entries_.capacity() * sizeof(Entry) + rows_.capacity() * sizeof(std::uint32_t);
}

void VectorStore::compact() {
  VectorStore fresh(dimensions_);
  for (std::uint32_t& held : rows_)
    if (held != kNoRow) held = fresh.append(row(held));
  chunks_ = std::move(fresh.chunks_);
  row_count_ = fresh.row_count_;
  dead_rows_ = 0;
}

std::shared_ptr<const VectorView> VectorStore::publish() {
  if (!dirty_) return published_;
  if (dead_rows_ >= kDeadRowsMin && dead_rows_ > row_count_ / 3) compact();
  auto view = std::make_shared<VectorView>();
  view->dimensions = dimensions_;
  view->row_count = row_count_;
  view->chunks = chunks_;
  view->slot_rows = std::make_shared<const std::vector<std::uint32_t>>(rows_);
  published_ = std::move(view);
  dirty_ = false;
  return published_;
}

}  // namespace knap::search
