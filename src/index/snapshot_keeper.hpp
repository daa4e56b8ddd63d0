#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <thread>
#include <vector>

#include "embed_queue.hpp"
#include "knap/base/mutex.hpp"
#include "knap/observe/metrics.hpp"
#include "knap/store/store.hpp"
#include "vault_state.hpp"

namespace knap::index {

/// Leaves each vault's keyword index in a file beside the store, for a fast start: when a vault has
/// come to rest, now and then while it does not, and at the end. A start after a kill reads again
/// only what changed after the last file. Threads: start() and stop() from one thread.
class SnapshotKeeper {
 public:
  /// The other objects must outlive the keeper.
  SnapshotKeeper(std::filesystem::path folder, store::Store& store, const Vaults& vaults,
                 EmbedQueue& embed_queue, observe::Registry& metrics);
  ~SnapshotKeeper() { stop(); }

  std::filesystem::path file_of(const VaultState& vault) const;

  void start();
  void stop() KNAP_EXCLUDES(mutex_);
  /// Saves what is not saved yet. Nobody else changes the vaults meanwhile, or the file shows them
  /// a moment ago.
  void save_all();

 private:
  struct Watched {
    std::uint64_t changes = 0;  ///< At the last look.
    std::chrono::steady_clock::time_point unsaved_since{};
    std::chrono::steady_clock::time_point next{};  ///< Not saved again before.
  };
  void run() KNAP_EXCLUDES(mutex_);
  void look_at(VaultState& vault, Watched& watched);
  Status save(VaultState& vault);

  const std::filesystem::path folder_;
  store::Store& store_;
  const Vaults& vaults_;
  EmbedQueue& embed_queue_;
  observe::Histogram& seconds_;
  std::vector<Watched> watched_;  ///< Of the thread only.
  Mutex mutex_;
  CondVar wake_;
  bool stopping_ KNAP_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace knap::index
