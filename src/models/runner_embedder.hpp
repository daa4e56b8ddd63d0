#pragma once

#include <memory>
#include <string>

#include "catalogue.hpp"
#include "knap/models/models.hpp"
#include "supervisor.hpp"

namespace knap::models {

/// An embedder whose model runs in a supervised child.
/// @param precision  part of its id: vectors of different precisions are kept apart
std::shared_ptr<Embedder> make_runner_embedder(const ModelSpec& spec, std::string precision,
                                               std::shared_ptr<Supervisor> supervisor,
                                               observe::Registry& metrics);

}  // namespace knap::models
