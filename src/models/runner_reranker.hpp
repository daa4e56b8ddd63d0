#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "catalogue.hpp"
#include "knap/models/models.hpp"
#include "pool.hpp"

namespace knap::models {

/// A reranker whose model runs in a child of the pool. An interactive call never waits for it to
/// load: it begins, and the answer is kUnavailable.
std::shared_ptr<Reranker> make_runner_reranker(const ModelSpec& spec, std::string_view precision,
                                               std::shared_ptr<RunnerPool> pool,
                                               std::shared_ptr<RunnerPool::Slot> slot,
                                               observe::Registry& metrics);

/// Of a runner's answer. Errors: kCorruptData (not so many finite numbers as texts).
Result<Reranker::Scores> read_scores(std::string_view body, std::size_t texts);

}  // namespace knap::models
