#pragma once

#include <cstddef>
#include <memory>

#include "catalogue.hpp"
#include "knap/models/models.hpp"
#include "knap/observe/metrics.hpp"
#include "replicas.hpp"

namespace knap::models {

/// A generator whose model the runners of `replicas` serve. `threads` compute in all of them
/// together. `reads_ahead`: they have room for passages that were read ahead.
std::shared_ptr<Generator> make_runner_generator(const ModelSpec& spec,
                                                 std::shared_ptr<Replicas> replicas,
                                                 std::size_t threads, bool reads_ahead,
                                                 observe::Registry& metrics);

}  // namespace knap::models
