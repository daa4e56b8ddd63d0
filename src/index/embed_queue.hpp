#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/mutex.hpp"
#include "knap/models/models.hpp"
#include "knap/observe/metrics.hpp"
#include "knap/service/leases.hpp"
#include "knap/store/store.hpp"
#include "vault_state.hpp"

namespace knap::index {

/// A unit vector as bytes: each value times 127, rounded.
std::vector<std::int8_t> quantise(std::span<const float> unit);

/// Gives passages their vectors in the background. What is missing is asked from the store, so
/// nothing is lost by a stop; passages of small changes go first. Vectors stand under (hash of the
/// text, model): nothing is embedded twice. Threads: all methods are safe from any thread.
class EmbedQueue {
 public:
  /// The vaults and the other objects must outlive the queue.
  EmbedQueue(store::Store& store, const Vaults& vaults, service::ComputeLeases& leases,
             observe::Registry& metrics);
  ~EmbedQueue();

  void start();
  void stop();

  /// Another model from now on: its stored vectors are put in place before queries use it.
  Status set_embedder(std::shared_ptr<models::Embedder> embedder)
      KNAP_EXCLUDES(publish_mutex_, mutex_);

  /// Held by whoever changes store and index together, so that vectors of two models are never
  /// mixed and an index that is being filled anew misses nothing. Taken before any other lock of
  /// this room.
  Mutex& publish_mutex() { return publish_mutex_; }
  /// The embedder whose vectors the index holds; null when there is none.
  std::shared_ptr<models::Embedder> embedder() const KNAP_EXCLUDES(mutex_);
  std::string model_id() const;
  std::optional<store::ModelKey> model_key() const KNAP_EXCLUDES(mutex_);
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
  struct Model {
    std::shared_ptr<models::Embedder> embedder;
    store::ModelKey key{};
    std::uint64_t generation = 0;
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

  void run() KNAP_EXCLUDES(mutex_);
  bool wait_for_work(Model& model) KNAP_EXCLUDES(mutex_);
  bool urgent_waits() const KNAP_EXCLUDES(mutex_);
  Result<Window> next_window(const Model& model) KNAP_EXCLUDES(mutex_);
  Status embed_next(const Model& model, bool& found) KNAP_EXCLUDES(mutex_, publish_mutex_);
  Result<std::vector<Text>> texts_of(const Model& model,
                                     const std::vector<store::MissingEmbedding>& window) const;
  Status embed_window(const Model& model, std::vector<Text> texts, Urgency urgency)
      KNAP_EXCLUDES(mutex_, publish_mutex_);
  Status embed_batch(const Model& model, std::span<const Text> batch, Done& done);
  Status publish(const Model& model, Done& done) KNAP_EXCLUDES(mutex_, publish_mutex_);
  Status load_vectors(store::ModelKey key, std::size_t dimensions) KNAP_REQUIRES(publish_mutex_);
  Status hand_out(std::span<const store::EmbeddingRecord> records) KNAP_REQUIRES(publish_mutex_);
  void back_off(const Error& error) KNAP_EXCLUDES(mutex_);
  void collect_garbage();

  store::Store& store_;
  const Vaults& vaults_;
  service::ComputeLeases& leases_;
  observe::Counter& embedded_;
  observe::Gauge& waiting_;
  const CancelToken stop_;
  const std::size_t cores_;

  Status swap_to(const std::shared_ptr<models::Embedder>& embedder) KNAP_REQUIRES(publish_mutex_)
      KNAP_EXCLUDES(mutex_);
  Mutex publish_mutex_;
  mutable Mutex mutex_;
  CondVar changed_;
  Model model_ KNAP_GUARDED_BY(mutex_);
  std::string state_ KNAP_GUARDED_BY(mutex_) = "no model";
  std::deque<NewPassage> urgent_ KNAP_GUARDED_BY(mutex_);
  bool more_ KNAP_GUARDED_BY(mutex_) =
      true;  ///< Passages may be missing that the window has not come by.
  bool busy_ KNAP_GUARDED_BY(mutex_) = false;
  std::optional<Hash128> after_ KNAP_GUARDED_BY(mutex_);
  std::chrono::milliseconds pause_ KNAP_GUARDED_BY(mutex_){};
  bool stopping_ KNAP_GUARDED_BY(mutex_) = false;
  bool collected_ = false;  ///< Of the thread only.
  std::thread thread_;
};

}  // namespace knap::index
