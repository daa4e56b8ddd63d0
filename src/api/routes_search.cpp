#include <fmt/format.h>

#include "json_views.hpp"
#include "knap/base/json_text.hpp"
#include "requests.hpp"
#include "routes.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

double milliseconds_since(SteadyClock::time_point begin) {
  return std::chrono::duration<double, std::milli>(SteadyClock::now() - begin).count();
}

Checked<SearchBody> body_of_post(const Call& call) {
  auto reader = body_of(call, BodyReader::Unknown::kRefuse);
  if (!reader) return refuse(reader.error());
  return decode_search(std::move(*reader), "query", filter_now());
}

Checked<SearchBody> body_of_get(const Call& call) {
  return decode_search(BodyReader::from_query(call.request->query), "q", filter_now());
}

Warmer* warmer_of(const Context& context) {
  return context.warmer == nullptr ? nullptr : context.warmer->get();
}

void remember(const Context& context, const SearchBody& body, const SearchCache::Wanted& wanted,
              std::uint32_t cost_us) {
  if (Warmer* warmer = warmer_of(context))
    warmer->used(cache::Kind::kSearch, wanted.name, cost_us, [&] { return encode_search(body); });
}

void remember(const Context& context, const SearchBody& body, const SearchCache::Wanted& wanted,
              const SearchCache::Hit& hit) {
  remember(context, body, wanted, hit.cost_us);
  if (hit.refresh && warmer_of(context) != nullptr) warmer_of(context)->refresh(wanted.name);
}

http::Response cached_response(const Call& call, std::string_view value, cache::Layer layer,
                               const index::Content& content) {
  return search_value::response(value,
                                {layer, milliseconds_since(call.request->received), content.epoch});
}

/// What memory holds already; everything else is for the pool, mistakes in the request too.
std::optional<http::Response> search_at_once(const Context& context, const Call& call,
                                             Checked<SearchBody> body) {
  if (!body) return std::nullopt;
  const auto wanted = context.searches.want(body->request, index::Effort::kAtOnce);
  if (!wanted) return std::nullopt;
  const auto hit = context.searches.find_in_memory(*wanted);
  if (!hit) return std::nullopt;
  remember(context, *body, *wanted, *hit);
  return cached_response(call, hit->value, hit->layer, wanted->content);
}

std::string explain_text(const index::SearchOutcome& outcome) {
  return ",\"explain\":" + json_text(json::object{{"stages", stage_list(outcome.stages)},
                                                  {"terms", text_list(outcome.terms)}});
}

/// A result that its caller has, and what others may want of it. Who asks the same meanwhile waits
/// for `lead`.
struct Made {
  SearchBody body;
  std::optional<SearchCache::Wanted> wanted;
  std::unique_ptr<cache::Flights::Lead> lead;
  index::SearchOutcome outcome;
  std::string value;
  std::chrono::microseconds took;
};

void keep(const Context& context, const Made& made) {
  context.parts.answerer.found(made.outcome.hits);
  if (!made.wanted) return;
  remember(context, made.body, *made.wanted, static_cast<std::uint32_t>(made.took.count()));
  context.searches.keep(*made.wanted, made.body.request, made.outcome, made.value, made.took,
                        made.lead.get());
}

Outcome run_search(const Context& context, Call& call, Checked<SearchBody> body) {
  if (!body) return refuse(body.error());
  const Deadline deadline =
      call.deadline(service::spec(service::Level::kSearch).limit, body->deadline);
  auto wanted = context.searches.want(body->request, index::Effort::kWhole);
  cache::Flights::Turn turn;
  if (wanted) {
    if (const auto hit = context.searches.find(*wanted)) {
      remember(context, *body, *wanted, *hit);
      return cached_response(call, hit->value, hit->layer, wanted->content);
    }
    turn = context.searches.join(*wanted, deadline, call.cancel());
    if (turn.value)
      return cached_response(call, *turn.value, cache::Layer::kMemory, wanted->content);
  }
  const auto begin = SteadyClock::now();
  auto outcome = context.parts.index.search(body->request, deadline, call.cancel());
  if (!outcome) {
    Problem problem = to_problem(outcome.error());
    if (problem.status == 404) problem.field = "vault";
    return refuse(std::move(problem));
  }
  std::string value = search_value::make(body->request, *outcome);
  http::Response response = search_value::response(
      value, {std::nullopt, milliseconds_since(call.request->received), outcome->epoch},
      body->request.explain ? explain_text(*outcome) : "");
  const auto took =
      std::chrono::duration_cast<std::chrono::microseconds>(SteadyClock::now() - begin);
  call.afterwards = [&context, made = std::make_shared<Made>(
                                   Made{*std::move(body), std::move(wanted), std::move(turn.lead),
                                        *std::move(outcome), std::move(value), took})] {
    keep(context, *made);
  };
  return response;
}

}  // namespace

bool warm_search(const Context& context, const std::string& body, Warmer::Work::Need need,
                 const CancelToken& cancel) {
  constexpr std::chrono::seconds kPatience{10};
  auto reader = BodyReader::parse(body, BodyReader::Unknown::kRefuse);
  if (!reader) return false;
  auto decoded = decode_search(std::move(*reader), "query", filter_now());
  if (!decoded) return false;
  index::SearchRequest& request = decoded->request;
  const auto wanted = context.searches.want(request, index::Effort::kWhole);
  if (!wanted) return false;
  if (need == Warmer::Work::Need::kIfMissing && context.searches.holds(*wanted)) return false;
  request.background = true;
  const auto begin = SteadyClock::now();
  const auto outcome = context.parts.index.search(request, Deadline::after(kPatience), cancel);
  if (!outcome) return false;
  const auto took =
      std::chrono::duration_cast<std::chrono::microseconds>(SteadyClock::now() - begin);
  context.searches.keep(*wanted, request, *outcome, search_value::make(request, *outcome), took,
                        nullptr);
  return outcome->repeatable;
}

void add_search_routes(const Context& context, std::vector<Route>& routes) {
  const auto add = [&](std::string_view method, Checked<SearchBody> (*read)(const Call&),
                       std::string_view summary) {
    Route route{method,
                "/api/search",
                service::Level::kSearch,
                Lane::kSearch,
                [&context, read](Call& call) { return run_search(context, call, read(call)); },
                summary,
                {}};
    route.at_once = [&context, read](const Call& call) {
      return search_at_once(context, call, read(call));
    };
    routes.push_back(std::move(route));
  };
  add("POST", body_of_post, "Search the notes");
  add("GET", body_of_get, "Search the notes by query parameters");
}

}  // namespace knap::api
