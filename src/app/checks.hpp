#pragma once

#include <vector>

#include "engine.hpp"
#include "knap/observe/system.hpp"
#include "knap/ops/health.hpp"
#include "knap/ops/memory_guard.hpp"
#include "knap/ops/vitals.hpp"

namespace knap::app {

/// What a server tries of itself on a schedule. The engine must outlive the checks.
std::vector<ops::HealthCheck> health_checks(Engine& engine);

/// What the server and its runners may take: the tightest of the machine, the container and the
/// settings.
ops::Vitals::Limits vitals_limits(const Config& config, const observe::CgroupState& group,
                                  const observe::MachineMemory& machine);

/// Watches the tighter of the container's limit and service.memory_bytes, if there is one.
ops::MemoryGuard::Options memory_options(const Config& config, const observe::CgroupState& group);

}  // namespace knap::app
