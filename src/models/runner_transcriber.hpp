#pragma once

#include <memory>

#include "catalogue.hpp"
#include "knap/models/speech.hpp"
#include "knap/observe/metrics.hpp"
#include "pool.hpp"

namespace knap::models {

/// A speech model that a runner serves.
std::shared_ptr<Transcriber> make_runner_transcriber(const ModelSpec& spec,
                                                     std::shared_ptr<RunnerPool> pool,
                                                     std::shared_ptr<RunnerPool::Slot> slot,
                                                     observe::Registry& metrics);

/// Reads a runner's answer. Errors: kCorruptData.
Result<Transcript> read_transcript(std::string_view body);

}  // namespace knap::models
