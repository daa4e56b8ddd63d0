// How one embedding model takes the place of another: the second set of vectors is built in the
// store beside the first, put into the indexes at once, and kept so that the way back is as short.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "embed_queue.hpp"
#include "knap/observe/log.hpp"

namespace knap::index {
namespace {

constexpr std::size_t kComparedHits = 10;

/// Mean share of a question's best notes that both models find.
ModelState::Comparison compare(const std::vector<std::vector<std::uint64_t>>& before,
                               const std::vector<std::vector<std::uint64_t>>& after) {
  ModelState::Comparison out;
  double sum = 0;
  for (std::size_t i = 0; i < std::min(before.size(), after.size()); ++i) {
    const std::size_t length = std::min(before[i].size(), kComparedHits);
    if (length == 0) continue;
    const auto end =
        after[i].begin() + static_cast<std::ptrdiff_t>(std::min(after[i].size(), kComparedHits));
    const auto common = std::count_if(
        before[i].begin(), before[i].begin() + static_cast<std::ptrdiff_t>(length),
        [&](std::uint64_t note) { return std::find(after[i].begin(), end, note) != end; });
    sum += static_cast<double>(common) / static_cast<double>(length);
    ++out.questions;
  }
  if (out.questions > 0) out.overlap = sum / out.questions;
  return out;
}

}  // namespace

ModelState EmbedQueue::model_state() const {
  MutexLock lock(mutex_);
  ModelState out;
  if (model_.embedder) out.serving = model_.embedder->id();
  if (previous_) out.previous = previous_->id();
  out.state = state_;
  if (change_) {
    out.building = change_->next.embedder->id();
    out.missing = change_->missing;
  }
  out.compared = compared_;
  return out;
}

Status EmbedQueue::set_embedder(std::shared_ptr<models::Embedder> embedder) {
  MutexLock publish(publish_mutex_);
  {
    MutexLock lock(mutex_);
    change_.reset();
    if (!model_.embedder && embedder) state_ = "loading vectors";
  }
  Status swapped = swap_to(embedder);
  if (!swapped) {
    MutexLock lock(mutex_);
    state_ = "failed: " + swapped.error().message;
  }
  return swapped;
}

Result<bool> EmbedQueue::has_all_vectors(const models::Embedder& embedder) const {
  KNAP_TRY(const store::ModelKey key, store_.model(embedder.id()));
  KNAP_TRY(const auto missing, store_.missing_embeddings(key, vault_ids(), std::nullopt, 1));
  return missing.empty();
}

/// In place of whatever vectors the vault's index holds: all that the store has of the model.
Status EmbedQueue::put_vectors(VaultState& vault, const Model& model) {
  const auto dimensions = model.embedder ? static_cast<std::uint32_t>(model.embedder->dimensions())
                                         : kDimensionsWithoutModel;
  return vault.index.replace_vectors(
      dimensions, model.space, [&](const search::Index::PutVector& put) -> Status {
        if (!model.embedder) return {};
        return store_.used_embeddings(
            model.key, vault.id, [&](const Hash128& hash, std::span<const std::int8_t> values) {
              put({hash, values});
            });
      });
}

/// Queries go on with the old model and its vectors until the new ones stand in every index.
Status EmbedQueue::swap_to(const std::shared_ptr<models::Embedder>& embedder) {
  std::deque<LiveIndex::Change> changes;
  for (const auto& vault : vaults_) changes.emplace_back(vault->index);
  Model old, next;
  {
    MutexLock lock(mutex_);
    old = model_;
    next = {embedder, {}, ++spaces_};
  }
  if (embedder) {
    KNAP_TRY(next.key, store_.model(embedder->id()));
  }
  Status swapped;
  for (const auto& vault : vaults_) {
    if (swapped) swapped = put_vectors(*vault, next);
  }
  if (swapped && embedder) swapped = store_.set_serving_model(next.key);
  if (!swapped) {
    // All vaults go with one model: those that had changed already go back to the one that serves.
    for (const auto& vault : vaults_) {
      if (const Status back = put_vectors(*vault, old); !back)
        observe::log_error("vectors_not_put_back", back.error().message,
                           {{"vault", vault->config.name}});
    }
    return swapped;
  }
  MutexLock lock(mutex_);
  if (old.embedder && (!embedder || old.embedder->id() != embedder->id())) previous_ = old.embedder;
  model_ = std::move(next);
  state_ = embedder ? "ready" : std::string(kNoModel);
  urgent_.clear();
  walk_ = {};
  pause_ = {};
  changed_.notify_all();
  return {};
}

Status EmbedQueue::change_to(std::shared_ptr<models::Embedder> embedder) {
  {
    MutexLock lock(mutex_);
    if (model_.embedder && model_.embedder->id() == embedder->id()) {
      change_.reset();
      changed_.notify_all();
      return {};
    }
  }
  KNAP_TRY(const store::ModelKey key, store_.model(embedder->id()));
  KNAP_TRY(const std::uint64_t missing, store_.count_missing_embeddings(key, vault_ids()));
  observe::log_info("model_change_begun", "",
                    {{"model", embedder->id()}, {"missing", static_cast<std::int64_t>(missing)}});
  MutexLock lock(mutex_);
  change_ = Change{{std::move(embedder), key, 0}, {}, missing};
  changed_.notify_all();
  return {};
}

/// A whole round found nothing missing. Edits of this very moment are built afterwards, as always.
Status EmbedQueue::finish_change(const Model& next) {
  {
    MutexLock lock(mutex_);
    const bool wanted = change_ && change_->next.embedder == next.embedder;
    if (!wanted || change_->walk.more || serving_waits()) return {};
  }
  // The same questions both times: people go on asking meanwhile.
  const auto questions = sample_.questions ? sample_.questions() : std::vector<std::string>();
  const auto find = [&] {
    return questions.empty() ? std::vector<std::vector<std::uint64_t>>() : sample_.find(questions);
  };
  const auto before = find();
  {
    MutexLock publishing(publish_mutex_);
    {
      MutexLock lock(mutex_);
      if (!change_ || change_->next.embedder != next.embedder) return {};
    }
    KNAP_CHECK_OK(swap_to(next.embedder));
    MutexLock lock(mutex_);
    change_.reset();
  }
  const auto compared = compare(before, find());
  observe::log_info("model_changed", "",
                    {{"model", next.embedder->id()},
                     {"questions", std::int64_t{compared.questions}},
                     {"overlap", compared.overlap}});
  MutexLock lock(mutex_);
  compared_ = compared;
  changed_.notify_all();
  return {};
}

Status EmbedQueue::roll_back() {
  MutexLock publishing(publish_mutex_);
  std::shared_ptr<models::Embedder> before;
  {
    MutexLock lock(mutex_);
    before = previous_;
    if (before) change_.reset();
    compared_ = {};
  }
  if (!before) {
    return make_error(ErrorCode::kFailedPrecondition,
                      "no other embedding model has served since the start: choose one with knap "
                      "models use");
  }
  return swap_to(before);
}

}  // namespace knap::index
