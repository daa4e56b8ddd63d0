#include "note_heads.hpp"

#include <utility>

namespace knap::store {

std::optional<NoteHeads::State> NoteHeads::state() const {
  const MutexLock lock(mutex_);
  return state_ % 2 == 0 ? std::optional(state_) : std::nullopt;
}

std::vector<NoteHeads::Head> NoteHeads::find(std::optional<State> state,
                                             std::span<const PassageKey> keys) const {
  std::vector<Head> found(keys.size());
  const MutexLock lock(mutex_);
  if (state != state_) return found;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto head = heads_.find(keys[i].file);
    if (head != heads_.end()) found[i] = head->second;
  }
  return found;
}

void NoteHeads::put(std::optional<State> state, FileId file, Head head) {
  const MutexLock lock(mutex_);
  if (state != state_) return;
  if (heads_.size() >= kHeadsMax) heads_.clear();
  heads_.insert_or_assign(file, std::move(head));
}

NoteHeads::Write::Write(NoteHeads& heads, std::vector<FileId> changed)
    : heads_(heads), changed_(std::move(changed)) {
  const MutexLock lock(heads_.mutex_);
  ++heads_.state_;
}

NoteHeads::Write::~Write() {
  const MutexLock lock(heads_.mutex_);
  ++heads_.state_;
  for (const FileId file : changed_) heads_.heads_.erase(file);
}

}  // namespace knap::store
