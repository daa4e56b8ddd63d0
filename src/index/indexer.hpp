#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "document_queue.hpp"
#include "embed_queue.hpp"
#include "knap/base/thread_pool.hpp"
#include "publisher.hpp"
#include "vault_state.hpp"

namespace knap::index {

/// The thread that keeps store and index in step with the vaults. It walks, has files read and
/// parsed by a few workers, and publishes the results; small changes go first, between two batches
/// of whatever long work is under way. Threads: the public methods are safe from any thread.
class Indexer {
 public:
  Indexer(const ServiceOptions& options, store::Store& store, const Vaults& vaults,
          EmbedQueue& embed_queue, service::ComputeLeases& leases, observe::Registry& metrics,
          std::int64_t next_file_id);
  ~Indexer();

  void start();
  void stop();

  void changed(VaultState& vault, vault::Changes changes) KNAP_EXCLUDES(mutex_);

  /// Asks for a walk of all vaults; returns its number for finished().
  std::uint64_t request_scan(Ledger::Recheck recheck) KNAP_EXCLUDES(mutex_);
  /// The result of the walk, once it and what came before it is searchable.
  std::optional<Status> finished(std::uint64_t scan) const KNAP_EXCLUDES(mutex_);
  void wait_changed(Deadline deadline) KNAP_EXCLUDES(mutex_);
  Progress progress() const KNAP_EXCLUDES(mutex_);
  /// Documents whose text is still to come.
  std::size_t documents_left() const KNAP_EXCLUDES(mutex_);

 private:
  struct Results;
  struct Work {
    std::vector<FileTask> tasks;
    Publisher::Batch batch;  ///< Known before anything is read: what vanished, what cannot be read.
    std::size_t sample =
        0;  ///< So many of the first tasks are read before the rest, to learn from.
  };

  void run() KNAP_EXCLUDES(mutex_);
  void wait_for_work() KNAP_EXCLUDES(mutex_);
  void queue_retries() KNAP_EXCLUDES(mutex_);
  void run_scans() KNAP_EXCLUDES(mutex_);
  void run_large_changes() KNAP_EXCLUDES(mutex_);
  void run_small_changes() KNAP_EXCLUDES(mutex_);
  void run_documents() KNAP_EXCLUDES(mutex_);
  void document_read(VaultState& vault, Prepared prepared) KNAP_EXCLUDES(mutex_);
  /// False: the file is no document. Else its text comes later; until then it goes by its name.
  bool queue_document(VaultState& vault, FileTask& task, DocumentQueue::Urgency urgency,
                      Publisher::Batch& batch);
  std::optional<FileTask> notice(VaultState& vault, const std::string& path,
                                 const vault::Fingerprint& fingerprint, Ledger::Recheck recheck);
  Status scan_vault(VaultState& vault, Ledger::Recheck recheck);
  Status walk_vault(VaultState& vault, const vault::IgnoreRules& rules, Ledger::Recheck recheck,
                    Work& work);
  void add_unseen(VaultState& vault, const vault::IgnoreRules& rules, Work& work);
  void check_ledger(VaultState& vault, std::uint64_t unexplained);
  Work examine(VaultState& vault, const std::vector<std::string>& paths);
  void examine_one(VaultState& vault, const vault::IgnoreRules& rules, const std::string& path,
                   Work& work);
  Status read_all(VaultState& vault, Work work);
  void prepare_learning(const VaultState& vault, Work& work) const;
  void learn_boilerplate(VaultState& vault, std::vector<Prepared>& sample);
  Status publish(VaultState& vault, Publisher::Batch batch, EmbedQueue::Urgency urgency);
  Status relink_notes(VaultState& vault);
  void report(std::string phase, std::uint64_t done, std::uint64_t total) KNAP_EXCLUDES(mutex_);
  std::optional<std::int64_t> next_retry_ms() const;

  const ServiceOptions& options_;
  store::Store& store_;
  const Vaults& vaults_;
  EmbedQueue& embed_queue_;
  Publisher publisher_;
  observe::Gauge& queue_length_;
  observe::Gauge& unexplained_;
  const CancelToken stop_;
  std::atomic<std::int64_t> next_file_id_;
  const Ledger::NewId new_id_;

  mutable Mutex mutex_;
  CondVar changed_;
  std::map<VaultState*, std::set<std::string>> small_ KNAP_GUARDED_BY(mutex_);
  std::map<VaultState*, std::set<std::string>> large_ KNAP_GUARDED_BY(mutex_);
  std::set<VaultState*> scans_ KNAP_GUARDED_BY(mutex_);
  Ledger::Recheck recheck_ KNAP_GUARDED_BY(mutex_) = Ledger::Recheck::kIfChanged;
  std::uint64_t scans_requested_ KNAP_GUARDED_BY(mutex_) = 0;
  std::uint64_t scans_finished_ KNAP_GUARDED_BY(mutex_) = 0;
  Status scan_result_ KNAP_GUARDED_BY(mutex_);
  Progress progress_ KNAP_GUARDED_BY(mutex_){"done", 0, 0, 0, {}};
  SteadyClock::time_point phase_begin_ KNAP_GUARDED_BY(mutex_){};
  bool stopping_ KNAP_GUARDED_BY(mutex_) = false;
  Deadline next_periodic_ = Deadline::never();  ///< Of the thread only.
  /// Documents that were read and wait to be published.
  std::vector<std::pair<VaultState*, Prepared>> documents_ KNAP_GUARDED_BY(mutex_);
  bool publishing_documents_ KNAP_GUARDED_BY(mutex_) = false;
  std::unique_ptr<ThreadPool> readers_;
  std::vector<std::unique_ptr<DocumentQueue>> document_queues_;  ///< One a reader.
  std::thread thread_;
};

}  // namespace knap::index
