#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "knap/base/hash.hpp"
#include "sign_rows.hpp"

namespace knap::search {

/// Number of a distinct passage hash while any segment holds it.
using Slot = std::uint32_t;
constexpr Slot kNoSlot = 0xFFFFFFFF;
constexpr std::uint32_t kNoRow = 0xFFFFFFFF;

/// The vectors as one search sees them: immutable below row_count.
///
/// Rows stand in chunks that are filled once from the front, so a reader of an older view and the
/// writer of a newer one never touch the same bytes.
struct VectorView {
  static constexpr std::uint32_t kChunkRows = 512;

  std::uint32_t dimensions = 0;
  std::uint64_t space = 0;  ///< Names the model of the vectors: those of two never meet.
  std::uint32_t row_count = 0;
  struct Chunk {
    std::vector<std::int8_t> values;
    std::vector<float> inverse_norms;  ///< 1 / length of each row; 0 for a row of zeros.
    SignRows signs;
  };
  std::vector<std::shared_ptr<Chunk>> chunks;
  std::shared_ptr<const std::vector<std::uint32_t>> slot_rows;  ///< Slot -> row, or kNoRow.

  std::uint32_t row_of(Slot slot) const {
    return slot < slot_rows->size() ? (*slot_rows)[slot] : kNoRow;
  }
  const std::int8_t* row(std::uint32_t index) const {
    return chunks[index / kChunkRows]->values.data() + std::size_t{index % kChunkRows} * dimensions;
  }
  float inverse_norm(std::uint32_t index) const {
    return chunks[index / kChunkRows]->inverse_norms[index % kChunkRows];
  }
  std::uint64_t bytes() const {
    return chunks.size() * (std::uint64_t{kChunkRows} * (dimensions + sizeof(float)) +
                            SignRows::bytes(kChunkRows, dimensions)) +
           slot_rows->size() * sizeof(std::uint32_t);
  }
};

/// The writer's side: which hash has which slot and row. Not thread-safe.
///
/// A vector is kept while a segment holds its hash, or until restart() when none has held it yet.
/// Rows of forgotten vectors are taken back by compaction once they are a third of all.
class VectorStore {
 public:
  explicit VectorStore(std::uint32_t dimensions);

  /// The slot of a hash, counted as used by one more passage.
  Slot acquire(const Hash128& hash);
  void release(Slot slot);
  const Hash128& hash_of(Slot slot) const { return entries_[slot].hash; }

  /// @pre values.size() == dimensions
  void set(const Hash128& hash, std::span<const std::int8_t> values);

  /// All vectors, apart from the slots that say whose they are.
  struct Rows {
    std::uint32_t dimensions = 0;
    std::uint64_t space = 0;
    std::vector<std::uint32_t> of_slots;
    std::vector<std::shared_ptr<VectorView::Chunk>> chunks;
    std::uint32_t count = 0, dead = 0;
  };
  /// Begins anew with the vectors of another model; hashes keep their slots. Returns the old ones.
  Rows restart(std::uint32_t dimensions, std::uint64_t space);
  void put_back(Rows rows);  ///< What restart() returned.
  std::uint32_t dimensions() const { return rows_.dimensions; }
  std::uint64_t bytes() const;
  std::shared_ptr<const VectorView> publish();

 private:
  struct Entry {
    Hash128 hash;
    std::uint32_t uses = 0;
  };
  Slot intern(const Hash128& hash);
  void compact();
  static std::uint32_t append(Rows& rows, std::span<const std::int8_t> values);
  static std::span<const std::int8_t> row(const Rows& rows, std::uint32_t index);

  std::unordered_map<Hash128, Slot> slots_;
  std::vector<Entry> entries_;
  Rows rows_;
  std::vector<Slot> free_;
  std::shared_ptr<const VectorView> published_;
  bool dirty_ = true;
};

}  // namespace knap::search
