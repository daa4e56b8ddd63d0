#pragma once

#include <functional>
#include <map>
#include <string>
#include <thread>

#include "documents.hpp"
#include "knap/base/mutex.hpp"
#include "knap/observe/metrics.hpp"
#include "knap/service/leases.hpp"

namespace knap::index {

/// Reads the documents of one kind, one at a time, on a thread of its own: what is slow or broken
/// holds up neither notes nor other kinds. Bounded by the ledger: a file waits at most once.
/// Threads: all methods are safe from any thread.
class DocumentQueue {
 public:
  /// Takes a result; may block while the indexing thread is busy. Called from the queue's thread.
  using Deliver = std::function<void(VaultState&, Prepared)>;

  DocumentQueue(const DocumentReader& reader, store::Store& store, service::ComputeLeases& leases,
                observe::Registry& metrics, Deliver deliver);
  ~DocumentQueue();

  const DocumentReader& reader() const { return reader_; }
  void start();
  /// Ends what is under way. Whoever delivers must not block any more.
  void stop() KNAP_EXCLUDES(mutex_);

  enum class Urgency { kBulk, kFirst };
  /// A file waits; an earlier task for it is forgotten.
  void add(VaultState& vault, FileTask task, Urgency urgency) KNAP_EXCLUDES(mutex_);
  /// Files that wait or are being read: 0 when all results are delivered.
  std::size_t left() const KNAP_EXCLUDES(mutex_);

 private:
  using Key = std::pair<VaultState*, std::string>;
  using Waiting = std::map<Key, FileTask>;
  void run() KNAP_EXCLUDES(mutex_);
  std::optional<Waiting::value_type> next() KNAP_EXCLUDES(mutex_);
  void collect_garbage();

  const DocumentReader& reader_;
  store::Store& store_;
  service::ComputeLeases& leases_;
  observe::Gauge& waiting_gauge_;
  observe::Counter& read_;
  observe::Counter& failed_;
  observe::Histogram& seconds_;
  const Deliver deliver_;
  const CancelToken stop_;
  mutable Mutex mutex_;
  CondVar changed_;
  Waiting first_ KNAP_GUARDED_BY(mutex_);  ///< Changed while the program runs: somebody looks on.
  Waiting bulk_ KNAP_GUARDED_BY(mutex_);
  bool busy_ KNAP_GUARDED_BY(mutex_) = false;
  bool stopping_ KNAP_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace knap::index
