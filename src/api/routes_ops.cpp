
#include "json_views.hpp"
#include "knap/base/version.hpp"
#include "routes.hpp"
#include "status_page.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

/// What readiness may cost: the probe is one keyword search.
constexpr std::chrono::milliseconds kProbeLimit{80};

Status probe_search(const Context& context) {
  index::SearchRequest request;
  request.text = "ready";
  request.mode = search::Mode::kKeyword;
  request.limit = 1;
  auto outcome = context.parts.index.search(request, Deadline::after(kProbeLimit), CancelToken());
  if (!outcome) return std::move(outcome).error();
  return {};
}

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
  const Status search = probe_search(context);
  json::array vaults;
  for (const std::string& name : context.parts.index.vaults())
    vaults.push_back(json::value(std::string_view(name)));
  json::object out;
  out["status"] = search ? "ok" : "degraded";
  out["version"] = version();
  out["uptime_s"] = uptime_s(context);
  out["ready"] = search.has_value();
  out["vaults"] = std::move(vaults);
  out["models"] = models_in_use(context);
  return json_response(200, out);
}

Outcome get_ready(const Context& context) {
  const Status search = probe_search(context);
  if (!search)
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
  const auto add = [&](std::string_view pattern, std::string_view summary, RouteHandler handler) {
    routes.push_back({"GET", pattern, Level::kStatus, Lane::kStatus, std::move(handler), summary});
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
  add("/api/config", "Show the effective settings",
      [&context](Call&) { return get_config(context); });
  add("/api/performance/metrics", "Show everything measured",
      [&context](Call&) { return get_metrics_json(context); });
  add("/api/vector_db/stats", "Show what the vectors take",
      [&context](Call&) { return get_vector_stats(context); });
  add("/metrics", "Give all series to Prometheus", [&context](Call&) -> Outcome {
    refresh_gauges(context);
    return http::Response::text(200, context.parts.metrics.prometheus(),
                                "text/plain; version=0.0.4; charset=utf-8");
  });
  add("/openapi.json", "Describe this interface",
      [](Call&) -> Outcome { return raw_json(openapi_json()); });
  add("/", "Show a page about this server", [](Call&) -> Outcome {
    http::Response page =
        http::Response::text(200, std::string(kStatusPage), "text/html; charset=utf-8");
    page.fields.set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'");
    return page;
  });
}

}  // namespace knap::api
