#pragma once

#include <memory>

#include "guarded_generator.hpp"
#include "knap/models/models.hpp"

namespace knap::models {

/// The remote model of the settings. Nothing is dialled yet. Errors: kInvalidArgument (address).
Result<std::shared_ptr<GuardedGenerator>> make_remote_generator(const ModelsOptions::Remote& remote,
                                                                observe::Registry& metrics);

}  // namespace knap::models
