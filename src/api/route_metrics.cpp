#include "route_metrics.hpp"

#include <algorithm>
#include <string>

namespace knap::api {

RouteMetrics::Series RouteMetrics::make(observe::Registry& registry, std::string_view route,
                                        std::string_view method, std::string_view level) {
  Series series;
  for (std::size_t i = 0; i < series.by_class.size(); ++i) {
    series.by_class[i] = &registry.counter("knap_http_requests_total", "HTTP requests answered",
                                           {{"route", std::string(route)},
                                            {"method", std::string(method)},
                                            {"status_class", std::to_string(i + 1) + "xx"}});
  }
  series.seconds =
      &registry.histogram("knap_http_request_seconds", "From the request's arrival to its answer",
                          {{"route", std::string(route)}, {"level", std::string(level)}});
  return series;
}

RouteMetrics::RouteMetrics(observe::Registry& registry, const std::vector<Route>& routes)
    : unmatched_(make(registry, "unmatched", "any", "status")),
      refused_full_(registry.counter("knap_http_refused_total", "Requests refused before any work",
                                     {{"reason", "queue_full"}})),
      refused_late_(registry.counter("knap_http_refused_total", "Requests refused before any work",
                                     {{"reason", "late"}})),
      refused_memory_(registry.counter(
          "knap_http_refused_total", "Requests refused before any work", {{"reason", "memory"}})) {
  // The name that ready-made dashboards ask for.
  registry.alias("knap_http_request_seconds", "http_request_duration_seconds");
  make_levels(registry);
  for (const Route& route : routes) {
    series_.emplace(&route,
                    make(registry, route.pattern, route.method, service::spec(route.level).name));
  }
}

void RouteMetrics::make_levels(observe::Registry& registry) {
  constexpr std::array kFates{"good", "slow", "refused", "failed"};
  for (const auto& level : service::kLevels) {
    LevelSeries& series = levels_[static_cast<std::size_t>(level.level)];
    const std::string name(level.name);
    for (std::size_t i = 0; i < kFates.size(); ++i) {
      series.by_fate[i] = &registry.counter(
          "knap_level_requests_total",
          "Requests by service level: good within its limit, slow beyond it, refused, failed",
          {{"level", name}, {"result", kFates[i]}});
    }
    series.seconds = &registry.histogram(
        "knap_level_seconds", "Time to the answer, or to the first quotes", {{"level", name}});
  }
  for (const Lane lane : kLanes) {
    waits_[static_cast<std::size_t>(lane)] =
        &registry.histogram("knap_http_queue_seconds", "Time that requests waited for a thread",
                            {{"lane", std::string(to_string(lane))}});
  }
}

void RouteMetrics::record_level(service::Level level, int status, std::chrono::nanoseconds took) {
  LevelSeries& series = levels_[static_cast<std::size_t>(level)];
  Fate fate = took <= service::spec(level).limit ? kGood : kSlow;
  if (status == 429 || status == 503) fate = kRefused;
  if (status >= 500 && status != 503) fate = kFailed;
  series.by_fate[fate]->add();
  // A request that ran out of time took that time; other refusals say nothing of speed.
  if (status < 400 || status == 504) series.seconds->record(took);
}

void RouteMetrics::record_wait(Lane lane, std::chrono::nanoseconds waited) {
  waits_[static_cast<std::size_t>(lane)]->record(waited);
}

void RouteMetrics::record(const Route* route, int status, std::chrono::nanoseconds took) {
  const auto found = series_.find(route);
  const Series& series = found == series_.end() ? unmatched_ : found->second;
  series.by_class[static_cast<std::size_t>(std::clamp(status / 100, 1, 5) - 1)]->add();
  series.seconds->record(took);
}

}  // namespace knap::api
