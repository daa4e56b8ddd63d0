#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "knap/base/mutex.hpp"
#include "knap/store/store.hpp"

namespace knap::store {

/// What each passage of a note repeats about it: see PassageRow.
struct NoteHead {
  VaultId vault{};
  std::string path, title, name, language, tags;
  std::int64_t mtime_ns = 0;
};

/// Heads of notes that were shown lately: searches show some notes again and again, and a look-up
/// here costs a tenth of one in the file's trees.
///
/// A reader sees the heads of its own snapshot of the file only: it asks for the state() before the
/// snapshot begins, and heads are neither given nor taken once a write has begun since.
/// Threads: safe.
class NoteHeads {
 public:
  using Head = std::shared_ptr<const NoteHead>;
  using State = std::uint64_t;
  /// About 5 MB. When they are full all go: what is shown often is soon back.
  static constexpr std::size_t kHeadsMax = 16'384;

  /// Nothing: a write is under way.
  std::optional<State> state() const KNAP_EXCLUDES(mutex_);
  /// Null where a head is not known. @param state  of the reader; nothing: none are
  std::vector<Head> find(std::optional<State> state, std::span<const PassageKey> keys) const
      KNAP_EXCLUDES(mutex_);
  void put(std::optional<State> state, FileId file, Head head) KNAP_EXCLUDES(mutex_);

  /// From before a write until after its commit, or its end without one.
  class Write {
   public:
    Write(NoteHeads& heads, std::vector<FileId> changed);
    ~Write();
    Write(const Write&) = delete;
    Write& operator=(const Write&) = delete;

   private:
    NoteHeads& heads_;
    const std::vector<FileId> changed_;
  };

 private:
  mutable Mutex mutex_;
  State state_ KNAP_GUARDED_BY(mutex_) = 0;  ///< Odd: a write is under way.
  std::unordered_map<FileId, Head> heads_ KNAP_GUARDED_BY(mutex_);
};

}  // namespace knap::store
