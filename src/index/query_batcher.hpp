#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/base/mutex.hpp"
#include "knap/models/models.hpp"
#include "knap/service/leases.hpp"

namespace knap::index {

/// Embeds queries that wait at the same time together: one call for eight short texts takes about
/// half of what eight calls take (docs/Models.md). Nobody waits for company: who comes while no
/// call runs begins one at once, and those who come meanwhile share the next. One of the callers
/// makes the call for all (as databases commit in groups), so there is no thread of its own.
/// Threads: safe.
class QueryBatcher {
 public:
  /// @param leases  where the compute threads of each call come from; must outlive this
  explicit QueryBatcher(service::ComputeLeases& leases) : leases_(leases) {}

  /// The embedding of one query, embedder->dimensions() floats.
  /// Errors: those of Embedder::embed(); kCorruptData (vectors of another size).
  Result<std::vector<float>> embed(std::shared_ptr<models::Embedder> embedder, std::string text,
                                   Deadline deadline, const CancelToken& cancel)
      KNAP_EXCLUDES(mutex_);

 private:
  /// One caller's query. Shared, since a caller may leave while another makes its call.
  struct Entry {
    std::shared_ptr<models::Embedder> embedder;
    std::string text;
    bool done = false;
    Result<std::vector<float>> embedding = std::vector<float>{};
  };
  using Batch = std::vector<std::shared_ptr<Entry>>;

  Batch take_batch() KNAP_REQUIRES(mutex_);
  void lead(Deadline deadline, const CancelToken& cancel) KNAP_REQUIRES(mutex_);
  static void give(Batch& batch, Result<models::Embeddings> result);
  Result<models::Embeddings> call(const Batch& batch, Deadline deadline, const CancelToken& cancel);
  void leave(const std::shared_ptr<Entry>& entry) KNAP_REQUIRES(mutex_);

  service::ComputeLeases& leases_;
  Mutex mutex_;
  CondVar changed_;
  bool calling_ KNAP_GUARDED_BY(mutex_) = false;
  std::deque<std::shared_ptr<Entry>> waiting_ KNAP_GUARDED_BY(mutex_);  ///< Not yet in a call.
};

}  // namespace knap::index
