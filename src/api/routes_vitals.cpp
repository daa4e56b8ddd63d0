#include <array>

#include "json_views.hpp"
#include "knap/base/version.hpp"
#include "routes.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

constexpr std::int64_t kSlowMax = 200;
constexpr std::array<std::string_view, 2> kSpans{"hour", "day"};

json::value time_or_null(std::int64_t unix_ms) {
  return unix_ms == 0 ? json::value(nullptr) : json::value(iso_time(unix_ms / 1000));
}

double milliseconds(std::chrono::microseconds duration) {
  return static_cast<double>(duration.count()) / 1000;
}

json::object trace_body(const observe::Trace& trace) {
  json::array stages;
  for (const auto& stage : trace.stages) {
    json::object one{{"name", stage.name},
                     {"begin_ms", milliseconds(stage.begin)},
                     {"took_ms", milliseconds(stage.took)}};
    if (!stage.detail.empty()) one["detail"] = stage.detail;
    stages.push_back(std::move(one));
  }
  return {{"request_id", trace.request_id},
          {"route", trace.route},
          {"level", trace.level},
          {"status", trace.status},
          {"received", time_or_null(trace.received_unix_ms)},
          {"took_ms", milliseconds(trace.took)},
          {"stages", std::move(stages)}};
}

Outcome get_slow(const Context& context, Call& call) {
  BodyReader reader = BodyReader::from_query(call.request->query);
  std::int64_t limit = 50;
  reader.integer("limit", 1, kSlowMax, limit);
  if (const auto read = reader.finish(); !read) return refuse(read.error());
  json::array requests;
  for (const auto& trace : context.parts.slow.latest(static_cast<std::size_t>(limit)))
    requests.push_back(trace_body(trace));
  return json_response(200, {{"slower_than_ms", context.options.slow_request.count()},
                             {"requests", std::move(requests)}});
}

json::object trend_point(const ops::TrendPoint& point) {
  return {{"time", iso_time(point.unix_s)},
          {"requests_per_second", point.requests_per_second},
          {"failed_per_second", point.failed_per_second},
          {"refused_per_second", point.refused_per_second},
          {"p50_ms", point.p50_ms},
          {"p95_ms", point.p95_ms},
          {"p99_ms", point.p99_ms},
          {"cpu_percent", point.cpu_percent},
          {"memory_percent", point.memory_percent},
          {"memory_bytes", point.memory_bytes},
          {"cache_hit_rate_percent", point.hit_rate_percent},
          {"model_queue", point.model_queue},
          {"index_lag_s", point.index_lag_s}};
}

Outcome get_trends(const Context& context, Call& call) {
  BodyReader reader = BodyReader::from_query(call.request->query);
  std::size_t span = 0;
  reader.choice("span", kSpans, span);
  if (const auto read = reader.finish(); !read) return refuse(read.error());
  json::array points;
  const auto wanted = span == 0 ? ops::Vitals::Span::kHour : ops::Vitals::Span::kDay;
  for (const auto& point : context.parts.vitals.trends(wanted))
    points.push_back(trend_point(point));
  return json_response(
      200,
      {{"span", kSpans[span]}, {"step_s", span == 0 ? 10 : 300}, {"points", std::move(points)}});
}

json::object check_body(const ops::CheckState& check) {
  return {{"name", check.name},
          {"state", to_string(check.state)},
          {"message", without_paths(check.message)},
          {"needed", check.needed},
          {"last_check", time_or_null(check.checked_unix_ms)},
          {"latency_ms", milliseconds(check.took)},
          {"failures_in_row", check.failures_in_row}};
}

json::object system_body(const observe::Registry& metrics) {
  const auto value = [&](std::string_view name, const observe::Labels& labels = {}) {
    const auto sum = metrics.sum(name, labels);
    return sum ? json::value(*sum) : json::value(nullptr);
  };
  return {{"memory_bytes", value("knap_process_memory_bytes")},
          {"server_memory_bytes", value("knap_process_memory_bytes", {{"process", "server"}})},
          {"open_files", value("process_open_fds")},
          {"open_files_max", value("process_max_fds")},
          {"threads", value("process_threads")},
          {"disk_free_bytes", value("knap_disk_free_bytes")},
          {"machine_memory_available_bytes",
           value("knap_machine_memory_bytes", {{"state", "available"}})},
          {"container_memory_limit_bytes", value("knap_cgroup_memory_limit_bytes")},
          {"container_cpu_limit_cores", value("knap_cgroup_cpu_limit_cores")}};
}

/// The worst of the parts, as words: a needed check that fails is worse than a KPI.
std::string_view overall(const std::vector<ops::CheckState>& checks,
                         const std::vector<ops::KpiState>& kpis) {
  using Check = ops::CheckState::State;
  bool degraded = false;
  for (const auto& check : checks) {
    if (check.state == Check::kFailing && check.needed) return "failing";
    degraded = degraded || check.state == Check::kFailing;
  }
  for (const auto& kpi : kpis) degraded = degraded || kpi.state == ops::KpiState::State::kCritical;
  return degraded ? "degraded" : "ok";
}

Outcome get_detailed(const Context& context) {
  const auto checks = context.parts.health.states();
  const auto kpis = context.parts.vitals.kpis();
  json::array components;
  for (const auto& check : checks) components.push_back(check_body(check));
  json::object out;
  out["status"] = overall(checks, kpis);
  out["version"] = version();
  out["uptime_s"] = std::chrono::duration<double>(SteadyClock::now() - context.started).count();
  out["components"] = std::move(components);
  out["kpis"] = kpi_list(context.parts.vitals);
  out["alerts"] = alert_list(context.parts.alerts.active());
  out["system"] = system_body(context.parts.metrics);
  return json_response(200, out);
}

}  // namespace

json::array kpi_list(const ops::Vitals& vitals) {
  json::array out;
  for (const ops::KpiState& state : vitals.kpis()) {
    json::object one{{"name", state.kpi.name},
                     {"what", state.kpi.what},
                     {"unit", state.kpi.unit},
                     {"state", to_string(state.state)},
                     {"target", state.kpi.target},
                     {"warning", state.kpi.warning},
                     {"critical", state.kpi.critical},
                     {"better", state.kpi.better == ops::Kpi::Better::kHigher ? "higher" : "lower"},
                     {"reason", state.reason}};
    one["value"] = state.value ? json::value(*state.value) : json::value(nullptr);
    out.push_back(std::move(one));
  }
  return out;
}

void add_vitals_routes(const Context& context, std::vector<Route>& routes) {
  using service::Level;
  const auto add = [&](std::string_view pattern, std::string_view summary, RouteHandler handler) {
    routes.push_back({"GET", pattern, Level::kStatus, Lane::kReports, std::move(handler), summary});
  };
  add("/api/performance/trends", "Show the last hour or day",
      [&context](Call& call) { return get_trends(context, call); });
  add("/api/performance/slow-requests", "Show slow and failed requests with their stages",
      [&context](Call& call) { return get_slow(context, call); });
  add("/api/health/detailed", "Show every part, the figures that count, and why",
      [&context](Call&) { return get_detailed(context); });
}

}  // namespace knap::api
