#pragma once

#include <memory>

#include "config.hpp"
#include "engine.hpp"
#include "knap/observe/sampler.hpp"

namespace knap::app {

/// The sampler of a server: process, container, leases, index and models, brought up to date every
/// few seconds beside the requests. Not started yet. The engine must outlive it.
std::unique_ptr<observe::Sampler> make_sampler(Engine& engine, const Config& config);

}  // namespace knap::app
