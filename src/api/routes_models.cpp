#include "json_views.hpp"
#include "requests.hpp"
#include "routes.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

json::value compared_of(const index::ModelState::Comparison& compared) {
  const auto& judged = compared.judged;
  if (compared.questions == 0 && judged.questions == 0 && compared.problem.empty()) return nullptr;
  json::object out{{"questions", compared.questions},
                   {"overlap_at_10", nullptr},
                   {"judged", nullptr},
                   {"problem", nullptr}};
  if (compared.questions > 0) out["overlap_at_10"] = compared.overlap;
  if (!compared.problem.empty()) out["problem"] = without_paths(compared.problem);
  if (judged.questions > 0) {
    out["judged"] = json::object{{"questions", judged.questions},
                                 {"ndcg_10_before", judged.ndcg_10_before},
                                 {"ndcg_10", judged.ndcg_10},
                                 {"recall_10_before", judged.recall_10_before},
                                 {"recall_10", judged.recall_10}};
  }
  return out;
}

json::object embedding_of(const index::ModelState& state) {
  return {{"serving", text_or_null(state.serving)},   {"state", without_paths(state.state)},
          {"building", text_or_null(state.building)}, {"missing", state.missing},
          {"held", text_or_null(state.held)},         {"previous", text_or_null(state.previous)},
          {"compared", compared_of(state.compared)}};
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
                                {"placement", without_paths(model.placement)},
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
  bool force = false;
  reader->boolean("force", force);
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
  if (const Status set = context.parts.index.set_embedder(
          std::move(embedder), force ? index::OnLoss::kSwap : index::OnLoss::kHold);
      !set)
    return refuse(to_problem(set.error()));
  return json_response(
      202, json::object{{"embedding", embedding_of(context.parts.index.model_state())}});
}

std::string_view to_text(models::Priority priority) {
  switch (priority) {
    case models::Priority::kInteractive: return "interactive";
    case models::Priority::kSearch: return "search";
    case models::Priority::kBackground: return "background";
  }
  return "background";
}

json::array candidates_of(const models::RouteRecord& record) {
  json::array out;
  for (const models::RouteCandidate& each : record.candidates) {
    json::object entry{{"model", each.model},
                       {"remote", each.remote},
                       {"usable", each.usable},
                       {"reason", without_paths(each.reason)},
                       {"expected_ms", nullptr}};
    if (each.expected) entry["expected_ms"] = each.expected->count();
    out.push_back(std::move(entry));
  }
  return out;
}

json::array attempts_of(const models::RouteRecord& record) {
  json::array out;
  for (const models::RouteAttempt& each : record.attempts)
    out.push_back(json::object{{"model", each.model},
                               {"outcome", without_paths(each.outcome)},
                               {"took_ms", each.took.count()},
                               {"prompt_tokens", each.prompt_tokens},
                               {"completion_tokens", each.completion_tokens},
                               {"tokens_estimated", each.tokens_estimated},
                               {"cost", each.cost}});
  return out;
}

Outcome get_route(const Context& context, Call& call) {
  const auto record = context.parts.models.route_of(call.path_argument);
  if (!record) {
    return refuse(
        {404,
         "route_not_found",
         "no model was chosen for a request of this id: only the last 1,000 choices since "
         "the start are kept, and answers from the cache, quotes and refusals make none",
         {}});
  }
  json::object body{
      {"request_id", record->request_id},
      {"time_s",
       std::chrono::duration_cast<std::chrono::seconds>(record->time.time_since_epoch()).count()},
      {"priority", to_text(record->need.priority)},
      {"language", text_or_null(record->need.language)},
      {"prompt_tokens", record->need.prompt_tokens},
      {"answer_tokens", record->need.answer_tokens},
      {"kept_local", record->need.reach == models::Reach::kThisMachine},
      {"time_left_ms", nullptr},
      {"candidates", candidates_of(*record)},
      {"attempts", attempts_of(*record)}};
  if (record->time_left.count() > 0) body["time_left_ms"] = record->time_left.count();
  return json_response(200, body);
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
  routes.push_back({"GET", "/api/models/routes/{request_id}", Level::kStatus, Lane::kReports,
                    [&context](Call& call) { return get_route(context, call); },
                    "Explain which model answered a request, and why"});
  routes.push_back({"POST", "/api/models/rollback", Level::kSearch, Lane::kSearch,
                    [&context](Call&) { return post_rollback(context); },
                    "Go back to the embedding model before"});
}

}  // namespace knap::api
