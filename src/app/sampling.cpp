#include "sampling.hpp"

#include <algorithm>

namespace knap::app {
namespace {

constexpr std::chrono::seconds kSampleInterval{2};

void sample_index(index::Service& index, observe::Registry& metrics) {
  for (const index::VaultStatus& status : index.status()) {
    const observe::Labels vault{{"vault", status.name}};
    const auto set = [&](std::string_view name, std::string_view help, double value) {
      metrics.gauge(name, help, vault).set(value);
    };
    set("knap_index_notes", "Notes in the index", static_cast<double>(status.notes));
    set("knap_index_passages", "Passages in the index", static_cast<double>(status.passages));
    set("knap_index_passages_with_vector", "Passages that have a vector",
        static_cast<double>(status.passages_with_vector));
    set("knap_index_bytes", "Memory of the index", static_cast<double>(status.index_bytes));
    set("knap_index_segments", "Immutable parts of the index",
        static_cast<double>(status.segments));
    set("knap_index_epoch", "Published changes", static_cast<double>(status.epoch));
    const auto coverage = [&](std::string_view kind, double share) {
      metrics
          .gauge("knap_index_coverage_ratio", "Share of the vault that can be searched",
                 {{"vault", status.name}, {"kind", std::string(kind)}})
          .set(share);
    };
    coverage("keyword", status.keyword_coverage);
    coverage("semantic", status.semantic_coverage);
    const auto files = [&](std::string_view state, std::uint64_t count) {
      metrics
          .gauge("knap_index_files", "Files by their state in the ledger",
                 {{"vault", status.name}, {"state", std::string(state)}})
          .set(static_cast<double>(count));
    };
    files("indexed", status.files.indexed);
    files("skipped", status.files.skipped);
    files("failed", status.files.failed);
    files("pending", status.files.pending);
    files("stale", status.files.stale);
  }
}

/// Look-ups by layer, and hits among what the first layer was asked; a value that the second layer
/// has is a hit too.
void sample_caches(observe::Registry& metrics) {
  double asked = 0;
  for (const std::string layer : {"l1", "l2", "l3"}) {
    const observe::Labels labels{{"layer", layer}};
    const double requests = metrics.sum("knap_cache_hits_total", labels).value_or(0) +
                            metrics.sum("knap_cache_misses_total", labels).value_or(0);
    metrics.total("knap_cache_requests_total", "Values looked for, by layer", labels).set(requests);
    asked = std::max(asked, requests);
  }
  const double hits = metrics.sum("knap_cache_hits_total").value_or(0);
  metrics.gauge("knap_cache_hit_rate", "Hits among all look-ups in caches, 0-1")
      .set(asked > 0 ? std::min(1.0, hits / asked) : 0);
}

void sample_models(models::Models& models, observe::Registry& metrics) {
  for (const models::ModelInfo& model : models.list()) {
    if (!model.in_use) continue;
    metrics
        .gauge("knap_models_ready", "1 when a model in use can answer",
               {{"model", model.name}, {"role", model.role}})
        .set(model.state == "ready" ? 1 : 0);
  }
}

}  // namespace

std::unique_ptr<observe::Sampler> make_sampler(Engine& engine, const Config& config) {
  observe::Registry& metrics = engine.metrics();
  // The names that ready-made dashboards ask for.
  metrics.alias("knap_cache_hits_total", "cache_hits_total");
  metrics.alias("knap_cache_requests_total", "cache_requests_total");
  metrics.alias("knap_cache_hit_rate", "cache_hit_rate");
  metrics.alias("knap_models_queue_length", "model_queue_length");
  auto sampler = std::make_unique<observe::Sampler>(kSampleInterval, metrics);
  sampler->add(observe::system_metrics(metrics, system_roots(config), config.data_dir));
  sampler->add([&engine] { engine.leases().refresh_metrics(); });
  sampler->add([&engine, &metrics] { sample_index(engine.index(), metrics); });
  sampler->add([&engine, &metrics] { sample_models(engine.models(), metrics); });
  sampler->add([&metrics] { sample_caches(metrics); });
  return sampler;
}

}  // namespace knap::app
