#include "json_views.hpp"
#include "requests.hpp"
#include "routes.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

double milliseconds_since(SteadyClock::time_point begin) {
  return std::chrono::duration<double, std::milli>(SteadyClock::now() - begin).count();
}

Outcome run_search(const Context& context, Call& call, Checked<SearchBody> body) {
  if (!body) return refuse(body.error());
  const Deadline deadline =
      call.deadline(service::spec(service::Level::kSearch).limit, body->deadline);
  auto outcome = context.parts.index.search(body->request, deadline, call.cancel());
  if (!outcome) {
    Problem problem = to_problem(outcome.error());
    if (problem.status == 404) problem.field = "vault";
    return refuse(std::move(problem));
  }
  // Hundreds of small pieces, given back at once.
  json::monotonic_resource pieces;
  const json::storage_ptr memory(&pieces);
  json::array results(memory);
  results.reserve(outcome->hits.size());
  for (const index::SearchHit& hit : outcome->hits)
    results.push_back(search_result(hit, outcome->terms, body->request.explain, memory));
  json::object out(memory);
  out["results"] = std::move(results);
  out["mode"] = mode_name(outcome->ran);
  out["degraded"] = text_list(outcome->degraded);
  json::array corrections;
  for (const index::Correction& correction : outcome->corrections)
    corrections.push_back(
        json::object{{"from", correction.from}, {"to", text_list(correction.to)}});
  out["corrections"] = std::move(corrections);
  out["cached"] = nullptr;
  out["took_ms"] = milliseconds_since(call.request->received);
  out["index"] = json::object{{"epoch", outcome->epoch},
                              {"notes", outcome->notes},
                              {"passages", outcome->passages},
                              {"coverage", json::object{{"keyword", outcome->keyword_coverage},
                                                        {"semantic", outcome->semantic_coverage}}}};
  if (body->request.explain) {
    out["explain"] =
        json::object{{"stages", stage_list(outcome->stages)}, {"terms", text_list(outcome->terms)}};
  }
  return json_response(200, out);
}

}  // namespace

void add_search_routes(const Context& context, std::vector<Route>& routes) {
  routes.push_back({"POST", "/api/search", service::Level::kSearch, Lane::kSearch,
                    [&context](Call& call) -> Outcome {
                      auto reader = body_of(call, BodyReader::Unknown::kRefuse);
                      if (!reader) return refuse(reader.error());
                      return run_search(context, call,
                                        decode_search(std::move(*reader), "query", unix_now()));
                    },
                    "Search the notes"});
  routes.push_back({"GET", "/api/search", service::Level::kSearch, Lane::kSearch,
                    [&context](Call& call) -> Outcome {
                      auto reader = BodyReader::from_query(call.request->query);
                      return run_search(context, call,
                                        decode_search(std::move(reader), "q", unix_now()));
                    },
                    "Search the notes by query parameters"});
}

}  // namespace knap::api
