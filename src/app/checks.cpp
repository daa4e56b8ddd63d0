#include "checks.hpp"

#include <algorithm>

#include "knap/base/cores.hpp"

namespace knap::app {
namespace {

/// A keyword search of what any vault may hold; nothing found is no failure.
ops::HealthCheck search_check(index::Service& index) {
  ops::HealthCheck check;
  check.name = "search";
  check.needed = true;
  check.interval = std::chrono::seconds(1);
  check.timeout = std::chrono::seconds(2);
  check.run = [&index](Deadline deadline) -> Result<std::string> {
    index::SearchRequest request;
    request.text = "ready";
    request.mode = search::Mode::kKeyword;
    request.limit = 1;
    KNAP_CHECK_OK(index.search(request, deadline, CancelToken()));
    return std::string("a keyword search answers");
  };
  return check;
}

/// A write that changes nothing: a full disk or a lost mount shows.
ops::HealthCheck store_check(index::Service& index) {
  ops::HealthCheck check;
  check.name = "store";
  check.interval = std::chrono::seconds(10);
  check.timeout = std::chrono::seconds(5);
  check.run = [&index](Deadline) -> Result<std::string> {
    KNAP_CHECK_OK(index.check_store());
    return std::string("a transaction was written");
  };
  return check;
}

/// One short text is embedded, where a model is in use.
ops::HealthCheck embedding_check(Engine& engine) {
  ops::HealthCheck check;
  check.name = "embedding";
  check.interval = std::chrono::seconds(15);
  check.timeout = std::chrono::seconds(5);
  check.run = [&engine](Deadline deadline) -> Result<std::string> {
    const auto embedder = engine.models().embedder();
    if (!embedder) return std::string("no embedding model is in use");
    const CancelToken cancel;
    KNAP_TRY(const auto lease,
             engine.leases().acquire(service::Lane::kInteractive, 1, deadline, cancel));
    const std::string text = "ready";
    KNAP_CHECK_OK(embedder->embed({&text, 1}, models::InputKind::kQuery,
                                  models::Priority::kInteractive, deadline, cancel));
    return embedder->id() + " gave a vector";
  };
  return check;
}

/// Whether the answer model is loaded: the check must not load one that nobody has asked.
bool is_loaded(models::Models& models, const std::string& id) {
  for (const models::ModelInfo& model : models.list()) {
    if (model.name == id) return model.state == "ready";
  }
  return true;  // a remote one
}

/// One token of the answer model, behind everybody else.
ops::HealthCheck generation_check(Engine& engine) {
  ops::HealthCheck check;
  check.name = "generation";
  check.interval = std::chrono::seconds(60);
  check.timeout = std::chrono::seconds(20);
  check.run = [&engine](Deadline deadline) -> Result<std::string> {
    const auto model = engine.models().generator();
    if (!model) return std::string("no answer model is in use");
    // It may cost, and what it did last shows in its circuit.
    if (model->remote()) return model->id() + " is remote: no check is sent there";
    if (!is_loaded(engine.models(), model->id()))
      return model->id() + " is not loaded: it is when the first question comes";
    // Answers under way show more than a check could, and it would only wait behind them.
    if (engine.leases().usage().generation > 0) return model->id() + " is writing answers";
    const CancelToken cancel;
    KNAP_TRY(const auto lease,
             engine.leases().acquire(service::Lane::kGeneration, engine.leases().usage().cores,
                                     deadline, cancel, model->id()));
    models::GenerateRequest request;
    request.messages = {{"user", "Say yes."}};
    request.max_tokens = 1;
    request.threads = static_cast<std::uint32_t>(lease.threads());
    request.priority = models::Priority::kBackground;
    KNAP_CHECK_OK(model->generate(request, deadline, cancel, {}));
    return model->id() + " wrote a token";
  };
  return check;
}

}  // namespace

std::vector<ops::HealthCheck> health_checks(Engine& engine) {
  return {search_check(engine.index()), store_check(engine.index()), embedding_check(engine),
          generation_check(engine)};
}

ops::MemoryGuard::Options memory_options(const Config& config, const observe::CgroupState& group) {
  ops::MemoryGuard::Options out;
  out.roots = system_roots(config);
  const std::uint64_t container = group.memory_limit_bytes.value_or(0);
  const std::uint64_t own = config.service.memory_bytes;
  out.of_container = container > 0 && (own == 0 || container <= own);
  out.limit_bytes = out.of_container ? container : own;
  return out;
}

ops::Vitals::Limits vitals_limits(const Config& config, const observe::CgroupState& group,
                                  const observe::MachineMemory& machine) {
  ops::Vitals::Limits out;
  out.cores = static_cast<double>(usable_cores());
  if (group.cpu_limit) out.cores = std::min(out.cores, *group.cpu_limit);
  out.memory_bytes = machine.total_bytes;
  const auto tighten = [&](std::uint64_t limit) {
    if (limit > 0 && (out.memory_bytes == 0 || limit < out.memory_bytes)) out.memory_bytes = limit;
  };
  tighten(group.memory_limit_bytes.value_or(0));
  tighten(config.service.memory_bytes);
  return out;
}

}  // namespace knap::app
