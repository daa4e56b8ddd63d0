#include "routes.hpp"
#include "knap/base/json_text.hpp"

namespace knap::api {
namespace {

/// Parameters of a media type do not matter to us.
bool is_json(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find_first_of("; "));
  return http::equals_ignoring_case(type, "application/json") ||
         (type.size() > 5 && http::equals_ignoring_case(type.substr(type.size() - 5), "+json"));
}

}  // namespace

std::vector<Route> all_routes(const Context& context) {
  std::vector<Route> routes;
  add_search_routes(context, routes);
  add_ask_routes(context, routes);
  add_note_routes(context, routes);
  add_import_routes(context, routes);
  add_index_routes(context, routes);
  add_model_routes(context, routes);
  add_cache_routes(context, routes);
  add_ops_routes(context, routes);
  add_web_routes(context, routes);
  add_vitals_routes(context, routes);
  add_alert_routes(context, routes);
  add_openai_routes(context, routes);
  add_voice_routes(context, routes);
  return routes;
}

Checked<BodyReader> body_of(const Call& call, BodyReader::Unknown unknown) {
  const auto type = call.request->fields.get("Content-Type");
  // Forms and plain text are what a page of another origin can send without asking first.
  if (type && !is_json(*type)) {
    return refuse({415, "unsupported_media_type", "send the body as application/json", {}});
  }
  return BodyReader::parse(call.request->body, unknown);
}

http::Response json_response(int status, const boost::json::object& value) {
  return http::Response::json(status, json_text(value));
}

void send_error_event(const Call& call, EventStream& stream, const Problem& problem) {
  stream.send("error", problem_json(problem, call.id).body);
  stream.end();
}

}  // namespace knap::api
