#include "json_views.hpp"
#include "requests.hpp"
#include "routes.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

json::object embedding_of(const index::ModelState& state) {
  json::object out{{"serving", text_or_null(state.serving)},
                   {"state", without_paths(state.state)},
                   {"building", text_or_null(state.building)},
                   {"missing", state.missing},
                   {"previous", text_or_null(state.previous)}};
  if (state.compared.questions > 0) {
    out["compared"] = json::object{{"questions", state.compared.questions},
                                   {"overlap_at_10", state.compared.overlap}};
  } else {
    out["compared"] = nullptr;
  }
  return out;
}

json::object pool_of(const models::PoolTotals& totals) {
  return {{"budget_bytes", totals.budget_bytes},
          {"counted_bytes", totals.counted_bytes},
          {"loaded", totals.loaded},
          {"loads", totals.loads},
          {"evictions", totals.evictions},
          {"leaks", totals.leaks}};
}

Outcome get_models(const Context& context) {
  json::array list;
  for (const models::ModelInfo& model : context.parts.models.list()) {
    list.push_back(json::object{{"name", model.name},
                                {"role", model.role},
                                {"summary", model.summary},
                                {"licence", model.licence},
                                {"bytes", model.bytes},
                                {"installed", model.installed},
                                {"run_by_us", model.run_by_us},
                                {"memory_bytes", model.memory_bytes},
                                {"resident_bytes", model.resident_bytes},
                                {"pinned", model.pinned},
                                {"state", without_paths(model.state)}});
  }
  return json_response(
      200, json::object{{"models", std::move(list)},
                        {"pool", pool_of(context.parts.models.totals())},
                        {"embedding", embedding_of(context.parts.index.model_state())}});
}

Outcome post_use(const Context& context, Call& call) {
  auto reader = body_of(call, BodyReader::Unknown::kRefuse);
  if (!reader) return refuse(reader.error());
  std::string name;
  reader->text("model", BodyReader::Need::kRequired, {1, 256}, name);
  if (const auto finished = reader->finish(); !finished) return refuse(finished.error());
  auto embedder = context.parts.models.embedder(name);
  if (!embedder) {
    return refuse(
        {404,
         "model_not_found",
         "no embedding model '" + name +
             "' is installed here: GET /api/models lists all, and `knap models pull NAME` "
             "fetches one",
         {}});
  }
  if (const Status set = context.parts.index.set_embedder(std::move(embedder)); !set)
    return refuse(to_problem(set.error()));
  return json_response(
      202, json::object{{"embedding", embedding_of(context.parts.index.model_state())}});
}

Outcome post_rollback(const Context& context) {
  if (const Status back = context.parts.index.roll_back_embedder(); !back)
    return refuse(to_problem(back.error()));
  return json_response(
      200, json::object{{"embedding", embedding_of(context.parts.index.model_state())}});
}

}  // namespace

void add_model_routes(const Context& context, std::vector<Route>& routes) {
  using service::Level;
  routes.push_back({"GET", "/api/models", Level::kStatus, Lane::kReports,
                    [&context](Call&) { return get_models(context); },
                    "List models, and which one embeds"});
  routes.push_back({"POST", "/api/models/use", Level::kSearch, Lane::kSearch,
                    [&context](Call& call) { return post_use(context, call); },
                    "Change the embedding model"});
  routes.push_back({"POST", "/api/models/rollback", Level::kSearch, Lane::kSearch,
                    [&context](Call&) { return post_rollback(context); },
                    "Go back to the embedding model before"});
}

}  // namespace knap::api
