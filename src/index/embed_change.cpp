// How one embedding model takes the place of another: the second set of vectors is built in the
// store beside the first, put into the indexes at once, and kept so that the way back is as short.
#include <utility>

#include <fmt/format.h>

#include "embed_queue.hpp"
#include "knap/observe/log.hpp"

namespace knap::index {
namespace {

/// As people name the model: without revision and precision.
std::string name_of(const models::Embedder& embedder) {
  const std::string id = embedder.id();
  return id.substr(0, id.find('@'));
}

bool loses(const ModelState::Comparison& compared) {
  const auto& judged = compared.judged;
  return judged.questions > 0 && judged.ndcg_10 < judged.ndcg_10_before - kNdcgLossMax;
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
    out.held = change_->held;
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

Status EmbedQueue::change_to(std::shared_ptr<models::Embedder> embedder, OnLoss on_loss) {
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
  // Told while the vectors are still to be built: there is time to correct the file.
  ModelState::Comparison compared;
  if (judge_.check) compared.problem = judge_.check();
  MutexLock lock(mutex_);
  change_ = Change{{std::move(embedder), key, 0}, {}, missing, on_loss, false, {}};
  compared_ = std::move(compared);
  changed_.notify_all();
  return {};
}

bool EmbedQueue::may_swap(const Model& next) const {
  MutexLock lock(mutex_);
  return wants(next) && change_->held.empty() && !change_->walk.more && !serving_waits();
}

/// Once for each change; afterwards it is held or goes on.
Status EmbedQueue::judge_change(const Model& next) {
  Trial trial;
  {
    MutexLock lock(mutex_);
    if (!judge_.compare || !wants(next) || change_->judged) return {};
    trial.now = model_;
    trial.next = next;
    trial.next.space = ++spaces_;
  }
  trial.cancel = stop_;
  trial.wanted = [&] {
    MutexLock lock(mutex_);
    return !stopping_ && wants(next);
  };
  auto compared = judge_.compare(trial);
  MutexLock lock(mutex_);
  if (stopping_ || !wants(next)) return {};
  if (!compared && change_->on_loss == OnLoss::kHold) {
    return with_context(
        std::move(compared).error(),
        fmt::format("{} and {} could not be compared on judged questions (`knap models use {} "
                    "--force` changes without)",
                    name_of(*trial.now.embedder), name_of(*next.embedder),
                    name_of(*next.embedder)));
  }
  take_verdict(next, std::move(compared));
  return {};
}

void EmbedQueue::take_verdict(const Model& next, Result<ModelState::Comparison> compared) {
  change_->judged = true;
  if (!compared) {
    observe::log_warning("models_not_compared", compared.error().message,
                         {{"model", next.embedder->id()}});
    return;
  }
  compared_ = std::move(*compared);
  const auto& judged = compared_.judged;
  observe::log_info("models_compared", compared_.problem,
                    {{"model", next.embedder->id()},
                     {"questions", std::int64_t{compared_.questions}},
                     {"overlap", compared_.overlap},
                     {"judged", std::int64_t{judged.questions}},
                     {"ndcg_10_before", judged.ndcg_10_before},
                     {"ndcg_10", judged.ndcg_10},
                     {"recall_10_before", judged.recall_10_before},
                     {"recall_10", judged.recall_10}});
  if (!loses(compared_) || change_->on_loss == OnLoss::kSwap) return;
  change_->held = fmt::format(
      "nDCG@10 {:.3f} -> {:.3f} on {} judged questions; `knap models use {} --force` changes all "
      "the same, `knap models rollback` gives the change up",
      judged.ndcg_10_before, judged.ndcg_10, judged.questions, name_of(*next.embedder));
  observe::log_warning("model_change_held", change_->held, {{"model", next.embedder->id()}});
}

/// A whole round found nothing missing. Edits of this very moment are built afterwards, as always;
/// those that came while the models were compared are built first.
Status EmbedQueue::finish_change(const Model& next) {
  if (!may_swap(next)) return {};
  KNAP_CHECK_OK(judge_change(next));
  if (!may_swap(next)) return {};
  {
    MutexLock publishing(publish_mutex_);
    {
      MutexLock lock(mutex_);
      if (!wants(next)) return {};
    }
    KNAP_CHECK_OK(swap_to(next.embedder));
    MutexLock lock(mutex_);
    change_.reset();
  }
  observe::log_info("model_changed", "", {{"model", next.embedder->id()}});
  MutexLock lock(mutex_);
  changed_.notify_all();
  return {};
}

Status EmbedQueue::roll_back() {
  MutexLock publishing(publish_mutex_);
  std::shared_ptr<models::Embedder> before;
  {
    MutexLock lock(mutex_);
    const bool held = change_ && !change_->held.empty();
    before = previous_;
    if (before || held) {
      change_.reset();
      compared_ = {};
      changed_.notify_all();
    }
    if (held) return {};
  }
  if (!before) {
    return make_error(ErrorCode::kFailedPrecondition,
                      "no other embedding model has served since the start: choose one with knap "
                      "models use");
  }
  return swap_to(before);
}

}  // namespace knap::index
