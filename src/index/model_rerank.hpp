#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "knap/index/service.hpp"
#include "stage_pace.hpp"

namespace knap::index {

/// The last stage of a search: a cross-encoder reads the question with each of the best passages
/// and puts them in order again. As many are read as the deadline leaves time for, by what reading
/// one has taken on this machine; none where that are fewer than two. Threads: safe.
class ModelRerank {
 public:
  ModelRerank(const ServiceOptions& options, service::ComputeLeases& leases)
      : find_(options.find_reranker),
        depth_(options.rerank_depth),
        weight_(options.rerank_weight),
        leases_(leases) {}

  /// So many of the first hits may change their order; 0: the stage is switched off.
  std::uint32_t depth() const { return find_ ? depth_ : 0; }

  /// Scores of the first hits become (1 - weight) * score + weight * the model's. Notes that have
  /// the name asked for stay first; scores fall from hit to hit as before. Texts must be filled in.
  /// Where it cannot be done, says why in outcome.degraded; a stage is noted when it ran.
  void run(const std::string& question, bool background, Deadline deadline,
           const CancelToken& cancel, SearchOutcome& outcome);

 private:
  /// Errors: why the stage is left out.
  Result<std::vector<float>> score(const std::string& question, bool background, Deadline deadline,
                                   const CancelToken& cancel, const std::vector<SearchHit>& hits);
  Result<std::size_t> how_many(Deadline deadline, std::size_t hits);
  Result<service::Lease> lease(bool background, Deadline deadline, const CancelToken& cancel);

  const std::function<std::shared_ptr<models::Reranker>()> find_;
  const std::uint32_t depth_;
  const float weight_;
  service::ComputeLeases& leases_;
  StagePace pace_;  ///< Of one passage.
};

}  // namespace knap::index
