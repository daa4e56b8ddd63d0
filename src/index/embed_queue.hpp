#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/mutex.hpp"
#include "knap/index/service.hpp"
#include "knap/models/models.hpp"
#include "knap/observe/metrics.hpp"
#include "knap/service/leases.hpp"
#include "knap/store/store.hpp"
#include "vault_state.hpp"

namespace knap::index {

/// EmbedQueue::state() where no model is wanted.
inline constexpr std::string_view kNoModel = "no model";

/// A unit vector as bytes: each value times 127, rounded.
std::vector<std::int8_t> quantise(std::span<const float> unit);

/// Gives passages their vectors in the background. What is missing is asked from the store, so
/// nothing is lost by a stop; passages of small changes go first. Vectors stand under (hash of the
/// text, model): nothing is embedded twice. A change of model is built the same way, after what the
/// present one lacks (embed_change.cpp). Threads: all methods are safe from any thread.
class EmbedQueue {
 public:
  /// The vaults and the other objects must outlive the queue.
  EmbedQueue(store::Store& store, const Vaults& vaults, service::ComputeLeases& leases,
             observe::Registry& metrics);
  ~EmbedQueue();

  void start();
  void stop();

  /// Another model from now on, at once: searches use whatever vectors of it the store holds, the
  /// rest is built. Null: none. Searches see the old vectors or the new ones, never both.
  Status set_embedder(std::shared_ptr<models::Embedder> embedder)
      KNAP_EXCLUDES(publish_mutex_, mutex_);
  /// Another model later: its vectors are built in the store while the present one serves, then all
  /// are put in place at once. What was built stays over a restart, however it comes. The model
  /// that serves already: a change under way is given up. Asked again, it is judged again.
  Status change_to(std::shared_ptr<models::Embedder> embedder, OnLoss on_loss)
      KNAP_EXCLUDES(mutex_);
  /// Whether the store holds a vector of the model for every passage. Errors: the store's.
  Result<bool> has_all_vectors(const models::Embedder& embedder) const;
  /// Waits for a swap that is under way: what serving() says then is what the indexes hold.
  void wait_swapped() KNAP_EXCLUDES(publish_mutex_) { const MutexLock lock(publish_mutex_); }
  /// The model before this one again, at once; a change that is held is given up instead. Errors:
  /// kFailedPrecondition (there was none).
  Status roll_back() KNAP_EXCLUDES(publish_mutex_, mutex_);
  ModelState model_state() const KNAP_EXCLUDES(mutex_);
  /// Held by whoever changes store and index together, so that vectors of two models are never
  /// mixed and an index that is being filled anew misses nothing. Taken before any other lock of
  /// this room.
  Mutex& publish_mutex() { return publish_mutex_; }
  /// A model and the name of its vectors in the indexes (search::Index::replace_vectors).
  struct Model {
    std::shared_ptr<models::Embedder> embedder;
    store::ModelKey key{};
    std::uint64_t space = 0;
  };
  /// Two models to compare, the next one under a space that no index has.
  struct Trial {
    Model now, next;
    std::function<bool()> wanted;  ///< false: the change was given up, or the queue stops
    CancelToken cancel;
  };
  /// How a change is judged before the swap.
  struct Judge {
    /// Says at once what is wrong with the owner's questions; empty: nothing.
    std::function<std::string()> check;
    /// On the queue's thread. An error keeps the change waiting, and it is tried again.
    std::function<Result<ModelState::Comparison>(const Trial&)> compare;
  };
  /// Once, before start() and any change. Without it nothing is compared.
  void set_judge(Judge judge) { judge_ = std::move(judge); }
  /// The model whose vectors the indexes hold; its embedder is null when there is none.
  Model serving() const KNAP_EXCLUDES(mutex_);
  std::string model_id() const;
  std::string state() const KNAP_EXCLUDES(mutex_);

  struct NewPassage {
    Hash128 hash;
    store::PassageKey key;
  };
  enum class Urgency { kBulk, kFirst };
  /// Passages came into a vault's index: those with a stored vector get it now, the others are
  /// queued.
  /// @pre publish_mutex() is held
  Status attach(VaultState& vault, const std::vector<NewPassage>& passages, Urgency urgency)
      KNAP_EXCLUDES(mutex_);

  /// Nothing is missing (or nothing can be embedded for want of a model).
  bool idle() const KNAP_EXCLUDES(mutex_);
  void wait_changed(Deadline deadline) KNAP_EXCLUDES(mutex_);

 private:
  /// Where the walk over the passages without a vector stands.
  struct Walk {
    bool more = true;  ///< Passages may be missing that the window has not come by.
    std::optional<Hash128> after;
  };
  /// A model whose vectors are being built; its space is that of no index.
  struct Change {
    Model next;
    Walk walk;
    std::uint64_t missing = 0;
    OnLoss on_loss = OnLoss::kHold;
    bool judged = false;
    std::string held;  ///< Why it is not put in place although it could; empty: it is not held.
  };
  struct Window {
    std::vector<store::MissingEmbedding> missing;
    Urgency urgency = Urgency::kBulk;
  };
  struct Text {
    Hash128 hash;
    std::string text;
  };
  struct Done {
    std::vector<Hash128> hashes;
    std::vector<std::int8_t> values;
  };

  struct Task {
    Model model;
    bool serves = true;  ///< false: of a change
  };

  void run() KNAP_EXCLUDES(mutex_, publish_mutex_);
  std::optional<Task> wait_for_work() KNAP_EXCLUDES(mutex_);
  bool serving_waits() const KNAP_REQUIRES(mutex_) {
    return model_.embedder != nullptr && (walk_.more || !urgent_.empty());
  }
  /// A change is wanted and not merely held.
  bool change_works() const KNAP_REQUIRES(mutex_) {
    return change_ && (change_->held.empty() || change_->walk.more);
  }
  bool wants(const Model& next) const KNAP_REQUIRES(mutex_) {
    return change_ && change_->next.embedder == next.embedder;
  }
  bool may_swap(const Model& next) const KNAP_EXCLUDES(mutex_);
  bool must_stop(const Task& task, Urgency urgency) const KNAP_EXCLUDES(mutex_);
  Walk* walk_of(const Task& task) KNAP_REQUIRES(mutex_);
  Result<Window> next_window(const Task& task) KNAP_EXCLUDES(mutex_);
  Status embed_next(const Task& task, bool& found) KNAP_EXCLUDES(mutex_, publish_mutex_);
  Result<std::vector<Text>> texts_of(const Model& model,
                                     const std::vector<store::MissingEmbedding>& window) const;
  Status embed_window(const Task& task, std::vector<Text> texts, Urgency urgency)
      KNAP_EXCLUDES(mutex_, publish_mutex_);
  Status embed_batch(const Model& model, std::span<const Text> batch, Done& done);
  Status publish(const Task& task, Done& done) KNAP_EXCLUDES(mutex_, publish_mutex_);
  Status hand_out(std::span<const store::EmbeddingRecord> records) KNAP_REQUIRES(publish_mutex_);
  void back_off(const Task& task, const Error& error) KNAP_EXCLUDES(mutex_);
  void collect_garbage();
  std::vector<store::VaultId> vault_ids() const;
  Status swap_to(const std::shared_ptr<models::Embedder>& embedder) KNAP_REQUIRES(publish_mutex_)
      KNAP_EXCLUDES(mutex_);
  Status put_vectors(VaultState& vault, const Model& model);
  Status judge_change(const Model& next) KNAP_EXCLUDES(mutex_);
  void take_verdict(const Model& next, Result<ModelState::Comparison> compared)
      KNAP_REQUIRES(mutex_);
  Status finish_change(const Model& next) KNAP_EXCLUDES(mutex_, publish_mutex_);

  store::Store& store_;
  const Vaults& vaults_;
  service::ComputeLeases& leases_;
  observe::Counter& embedded_;
  observe::Gauge& waiting_;
  const CancelToken stop_;
  const std::size_t cores_;

  Judge judge_;
  Mutex publish_mutex_;
  mutable Mutex mutex_;
  CondVar changed_;
  Model model_ KNAP_GUARDED_BY(mutex_);
  std::shared_ptr<models::Embedder> previous_ KNAP_GUARDED_BY(mutex_);
  std::optional<Change> change_ KNAP_GUARDED_BY(mutex_);
  ModelState::Comparison compared_ KNAP_GUARDED_BY(mutex_);
  std::uint64_t spaces_ KNAP_GUARDED_BY(mutex_) = 0;  ///< Given out so far.
  std::string state_ KNAP_GUARDED_BY(mutex_) = std::string(kNoModel);
  std::deque<NewPassage> urgent_ KNAP_GUARDED_BY(mutex_);
  Walk walk_ KNAP_GUARDED_BY(mutex_);
  bool busy_ KNAP_GUARDED_BY(mutex_) = false;
  std::chrono::milliseconds pause_ KNAP_GUARDED_BY(mutex_){};
  bool change_failed_ KNAP_GUARDED_BY(mutex_) = false;  ///< The pause is for a change's error.
  bool stopping_ KNAP_GUARDED_BY(mutex_) = false;
  bool collected_ = false;  ///< Of the thread only.
  std::thread thread_;
};

}  // namespace knap::index
