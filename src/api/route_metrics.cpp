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
                                     {{"reason", "late"}})) {
  for (const Route& route : routes) {
    series_.emplace(&route,
                    make(registry, route.pattern, route.method, service::spec(route.level).name));
  }
}

void RouteMetrics::record(const Route* route, int status, std::chrono::nanoseconds took) {
  const auto found = series_.find(route);
  const Series& series = found == series_.end() ? unmatched_ : found->second;
  series.by_class[static_cast<std::size_t>(std::clamp(status / 100, 1, 5) - 1)]->add();
  series.seconds->record(took);
}

}  // namespace knap::api
