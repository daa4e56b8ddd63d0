#pragma once

#include <string>
#include <vector>

#include "embed_queue.hpp"
#include "knap/observe/metrics.hpp"
#include "vault_state.hpp"

namespace knap::index {

/// Puts what was read into the store and, after that, into the index: one transaction, one epoch.
/// Threads: one caller at a time.
class Publisher {
 public:
  Publisher(store::Store& store, EmbedQueue& embed_queue, observe::Registry& metrics);

  struct Batch {
    std::vector<Prepared> files;
    std::vector<std::string> vanished;  ///< Paths.
  };
  /// Results that are out of date are left out. When the store fails nothing is changed but the
  /// ledger: the files stay pending with the reason and are tried again. Errors: the store's.
  Status publish(VaultState& vault, Batch batch, EmbedQueue::Urgency urgency);

 private:
  struct Plan;
  void add(VaultState& vault, Prepared& prepared, Plan& plan);
  Status write(VaultState& vault, Plan& plan, EmbedQueue::Urgency urgency);
  std::vector<EmbedQueue::NewPassage> new_passages(const Plan& plan) const;

  store::Store& store_;
  EmbedQueue& embed_queue_;
  observe::Counter& read_;
  observe::Counter& parsed_;
  observe::Counter& unchanged_;
  observe::Histogram& publish_seconds_;
};

}  // namespace knap::index
