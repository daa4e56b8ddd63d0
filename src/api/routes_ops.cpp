
#include "json_views.hpp"
#include "knap/base/version.hpp"
#include "routes.hpp"
#include "status_page.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

/// What a request for readiness may cost where the scheduled check has not succeeded yet.
constexpr std::chrono::milliseconds kReadyPatience{80};

json::array models_in_use(const Context& context) {
  json::array out;
  for (const models::ModelInfo& model : context.parts.models.list()) {
    if (!model.in_use) continue;
    out.push_back(json::object{
        {"name", model.name}, {"role", model.role}, {"state", without_paths(model.state)}});
  }
  return out;
}

double uptime_s(const Context& context) {
  return std::chrono::duration<double>(SteadyClock::now() - context.started).count();
}

Outcome get_health(const Context& context) {
  const bool ready = context.parts.health.ready(kReadyPatience);
  json::array vaults;
  for (const std::string& name : context.parts.index.vaults())
    vaults.push_back(json::value(std::string_view(name)));
  json::object out;
  out["status"] = ready ? "ok" : "degraded";
  out["version"] = version();
  out["uptime_s"] = uptime_s(context);
  out["ready"] = ready;
  out["vaults"] = std::move(vaults);
  out["models"] = models_in_use(context);
  return json_response(200, out);
}

Outcome get_ready(const Context& context) {
  if (!context.parts.health.ready(kReadyPatience))
    return refuse(
        {503, "not_ready", "keyword search does not answer yet: try again in a second", {}});
  return json_response(200, json::object{{"ready", true}});
}

Outcome get_config(const Context& context) {
  json::array settings;
  for (const Setting& setting : context.options.settings) {
    json::error_code error;
    json::value value = json::parse(setting.value_json, error);
    if (error) value = setting.value_json;
    settings.push_back(json::object{
        {"key", setting.key}, {"value", std::move(value)}, {"source", setting.source}});
  }
  return json_response(200, json::object{{"settings", std::move(settings)}});
}

void refresh_gauges(const Context& context) {
  observe::Registry& metrics = context.parts.metrics;
  metrics.gauge("knap_http_connections", "Open HTTP connections")
      .set(static_cast<double>(context.connections()));
  if (context.parts.cache != nullptr) context.parts.cache->refresh_metrics();
  metrics.gauge("knap_process_uptime_seconds", "Time since the start").set(uptime_s(context));
}

/// Each level with its limit and what became of its requests.
json::array level_list(const observe::Registry& metrics) {
  json::array out;
  for (const auto& level : service::kLevels) {
    const std::string name(level.name);
    json::object one{{"level", level.number}, {"name", name}, {"limit_ms", level.limit.count()}};
    for (const char* result : {"good", "slow", "refused", "failed"}) {
      one[result] = metrics.sum("knap_level_requests_total", {{"level", name}, {"result", result}})
                        .value_or(0);
    }
    for (const auto* histogram : metrics.histograms("knap_level_seconds", {{"level", name}})) {
      one["p50_ms"] = 1000 * histogram->quantile_seconds(.5);
      one["p95_ms"] = 1000 * histogram->quantile_seconds(.95);
      one["p99_ms"] = 1000 * histogram->quantile_seconds(.99);
    }
    out.push_back(std::move(one));
  }
  return out;
}

Outcome get_metrics_json(const Context& context) {
  refresh_gauges(context);
  json::array series;
  json::object counters;
  for (const auto& value : context.parts.metrics.values()) {
    series.push_back(series_body(value));
    if (value.kind == observe::Registry::SeriesValue::Kind::kCounter)
      counters[series_key(value)] = value.value;
  }
  json::array vaults;
  for (const index::VaultStatus& status : context.parts.index.status())
    vaults.push_back(vault_status(status));
  const auto usage = context.parts.leases.usage();
  json::object out;
  out["uptime_s"] = uptime_s(context);
  out["counters"] = std::move(counters);
  out["series"] = std::move(series);
  out["index"] = json::object{{"vaults", std::move(vaults)}};
  out["leases"] = json::object{{"cores", usage.cores},
                               {"interactive", usage.interactive},
                               {"generation", usage.generation},
                               {"background", usage.background},
                               {"waiting", usage.waiting}};
  out["models"] = models_in_use(context);
  out["jobs"] = context.jobs.list();
  out["kpis"] = kpi_list(context.parts.vitals);
  out["levels"] = level_list(context.parts.metrics);
  return json_response(200, out);
}

Outcome get_vector_stats(const Context& context) {
  const auto embedder = context.parts.models.embedder();
  const std::uint64_t dimensions = embedder ? embedder->dimensions() : 0;
  json::array vaults;
  std::uint64_t vectors = 0, passages = 0, segments = 0;
  for (const index::VaultStatus& status : context.parts.index.status()) {
    vectors += status.passages_with_vector;
    passages += status.passages;
    segments += status.segments;
    vaults.push_back(json::object{{"name", status.name},
                                  {"passages", status.passages},
                                  {"passages_with_vector", status.passages_with_vector},
                                  {"coverage", status.semantic_coverage},
                                  {"segments", status.segments},
                                  {"index_bytes", status.index_bytes},
                                  {"embed_state", status.embed_state}});
  }
  json::object out;
  if (embedder) {
    out["model"] = embedder->id();
  } else {
    out["model"] = nullptr;
  }
  out["dimensions"] = dimensions;
  out["quantisation"] = "int8";
  out["vectors"] = vectors;
  out["bytes"] = vectors * dimensions;
  out["segments"] = segments;
  out["coverage"] =
      passages == 0 ? 1.0 : static_cast<double>(vectors) / static_cast<double>(passages);
  out["vaults"] = std::move(vaults);
  return json_response(200, out);
}

http::Response raw_json(std::string_view text) {
  return http::Response::json(200, std::string(text));
}

}  // namespace

void add_ops_routes(const Context& context, std::vector<Route>& routes) {
  using service::Level;
  const auto add_to = [&](Lane lane, std::string_view pattern, std::string_view summary,
                          RouteHandler handler) {
    routes.push_back({"GET", pattern, Level::kStatus, lane, std::move(handler), summary});
  };
  const auto add = [&](std::string_view pattern, std::string_view summary, RouteHandler handler) {
    add_to(Lane::kStatus, pattern, summary, std::move(handler));
  };
  const auto health = [&context](Call&) { return get_health(context); };
  add("/status", "Tell whether the server is well", health);
  add("/health", "Tell whether the server is well (as /status)", health);
  add("/api/health", "Tell whether the server is well (as /status, for proxies)", health);
  add("/healthz", "Tell that the process answers", [](Call&) -> Outcome {
    return json_response(200, json::object{{"status", "ok"}});
  });
  add("/readyz", "Tell whether keyword search answers",
      [&context](Call&) { return get_ready(context); });
  add_to(Lane::kReports, "/api/config", "Show the effective settings",
         [&context](Call&) { return get_config(context); });
  add_to(Lane::kReports, "/api/performance/metrics", "Show everything measured",
         [&context](Call&) { return get_metrics_json(context); });
  add_to(Lane::kReports, "/api/vector_db/stats", "Show what the vectors take",
         [&context](Call&) { return get_vector_stats(context); });
  add_to(Lane::kReports, "/metrics", "Give all series to Prometheus", [&context](Call&) -> Outcome {
    refresh_gauges(context);
    return http::Response::text(200, context.parts.metrics.prometheus(),
                                "text/plain; version=0.0.4; charset=utf-8");
  });
  add_to(Lane::kReports, "/openapi.json", "Describe this interface",
         [](Call&) -> Outcome { return raw_json(openapi_json()); });
  add("/", "Show a page about this server", [](Call&) -> Outcome {
    http::Response page =
        http::Response::text(200, std::string(kStatusPage), "text/html; charset=utf-8");
    page.fields.set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
    return page;
  });
}

}  // namespace knap::api
