#include "operations.hpp"

#include <malloc.h>

namespace knap::app {
namespace {

/// Often enough to help, seldom enough that a full cache is worth filling again.
constexpr std::chrono::minutes kCacheClearEvery{1};

std::int64_t unix_now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

ops::MemoryGuard::Options guard_options(const Config& config, const observe::CgroupState& group,
                                        cache::Layers* cache) {
  ops::MemoryGuard::Options options = memory_options(config, group);
  options.relieve = [cache, cleared = SteadyClock::time_point{}](auto pressure) mutable {
    const bool hard = pressure == ops::MemoryGuard::Pressure::kHard;
    const auto now = SteadyClock::now();
    if (cache != nullptr && (hard || now - cleared > kCacheClearEvery)) {
      cache->clear(cache::Layer::kMemory);
      cleared = now;
    }
    ::malloc_trim(0);  // what the allocator keeps for later goes back to the system
  };
  return options;
}

}  // namespace

Result<std::unique_ptr<Operations>> Operations::open(const Config& config, Engine& engine,
                                                     cache::Layers* cache) {
  auto out = std::make_unique<Operations>();
  observe::Registry& metrics = engine.metrics();
  const auto group = observe::read_cgroup(system_roots(config));
  if (!config.otlp.endpoint.empty()) {
    KNAP_TRY(out->otlp,
             ops::OtlpExporter::create(config.otlp.endpoint, config.otlp.sample, metrics));
  }
  KNAP_TRY(out->alerting, Alerting::open(config, metrics));
  out->vitals = std::make_unique<ops::Vitals>(
      metrics, vitals_limits(config, group, observe::read_memory({})));
  out->memory = std::make_unique<ops::MemoryGuard>(guard_options(config, group, cache), metrics);
  out->memory->start();
  out->health = std::make_unique<ops::HealthMonitor>(health_checks(engine), metrics);
  out->health->start();
  return out;
}

void Operations::join(api::ApiOptions& options) {
  options.out_of_memory = [this] {
    return memory->pressure() == ops::MemoryGuard::Pressure::kHard;
  };
  if (otlp) options.on_trace = [this](const observe::Trace& trace) { otlp->add(trace); };
}

void Operations::tick() {
  const std::int64_t now_ms = unix_now_ms();
  vitals->tick(now_ms);
  alerting->tick(*vitals, *health, now_ms);
}

}  // namespace knap::app
