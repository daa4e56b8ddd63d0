#include "json_views.hpp"
#include "routes.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

constexpr std::size_t kNameMax = 128;
constexpr std::size_t kNoteMax = 1'000;

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

json::value time_or_null(std::int64_t ms) { return iso_time_or_null(ms / 1000); }

json::object alert_body(const ops::Alert& alert) {
  return {{"id", text_or_null(alert.id)},
          {"rule", alert.rule},
          {"severity", to_string(alert.severity)},
          {"state", to_string(alert.state)},
          {"summary", alert.summary},
          {"reason", without_paths(alert.reason)},
          {"value", alert.value},
          {"pending_since", time_or_null(alert.pending_ms)},
          {"firing_since", time_or_null(alert.fired_ms)},
          {"acknowledged", time_or_null(alert.acknowledged_ms)},
          {"acknowledged_by", text_or_null(alert.acknowledged_by)},
          {"note", text_or_null(alert.note)},
          {"resolved", time_or_null(alert.resolved_ms)}};
}

Outcome post_acknowledge(const Context& context, Call& call) {
  std::string by, note;
  if (!call.request->body.empty()) {
    auto reader = body_of(call, BodyReader::Unknown::kRefuse);
    if (!reader) return refuse(reader.error());
    reader->text("by", BodyReader::Need::kOptional, {0, kNameMax}, by);
    reader->text("note", BodyReader::Need::kOptional, {0, kNoteMax}, note);
    if (const auto read = reader->finish(); !read) return refuse(read.error());
  }
  const auto alert = context.parts.alerts.acknowledge(call.path_argument, std::move(by),
                                                      std::move(note), unix_ms());
  if (!alert) return refuse(to_problem(alert.error()));
  return json_response(200, alert_body(*alert));
}

}  // namespace

json::array alert_list(const std::vector<ops::Alert>& alerts) {
  json::array out;
  for (const ops::Alert& alert : alerts) out.push_back(alert_body(alert));
  return out;
}

void add_alert_routes(const Context& context, std::vector<Route>& routes) {
  using service::Level;
  routes.push_back({"GET", "/api/health/alerts", Level::kStatus, Lane::kReports,
                    [&context](Call&) -> Outcome {
                      const ops::Alerts& alerts = context.parts.alerts;
                      return json_response(200,
                                           json::object{{"active", alert_list(alerts.active())},
                                                        {"history", alert_list(alerts.history())}});
                    },
                    "List alerts with their history"});
  routes.push_back({"POST", "/api/health/alerts/{id}/acknowledge", Level::kStatus, Lane::kReports,
                    [&context](Call& call) { return post_acknowledge(context, call); },
                    "Tell that somebody knows of an alert"});
}

}  // namespace knap::api
