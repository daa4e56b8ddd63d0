#pragma once

#include <vector>

#include "engine.hpp"
#include "knap/observe/system.hpp"
#include "knap/ops/health.hpp"
#include "knap/ops/vitals.hpp"

namespace knap::app {

/// What a server tries of itself on a schedule. The engine must outlive the checks.
std::vector<ops::HealthCheck> health_checks(Engine& engine);

/// What the server and its runners may take: the tightest of the machine, the container and the
/// settings.
ops::Vitals::Limits vitals_limits(const Config& config, const observe::CgroupState& group,
                                  const observe::MachineMemory& machine);

}  // namespace knap::app
