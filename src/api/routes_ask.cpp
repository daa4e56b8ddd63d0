#include "json_views.hpp"
#include "knap/base/json_text.hpp"
#include "requests.hpp"
#include "routes.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

void remember(const Context& context, const AskBody& body, const answer::Answer& answer);

Problem ask_problem(const Error& error, const AskBody& body) {
  Problem problem = to_problem(error);
  if (problem.status == 404 && !body.request.model.empty() && body.request.vaults.empty())
    problem.field = "model";
  return problem;
}

json::object whole_body(const answer::Answer& answer, const json::object* transcript) {
  json::object out = answer_body(answer);
  if (transcript != nullptr) out["transcript"] = *transcript;
  return out;
}

Outcome ask_whole(const Context& context, const AskBody& body, Deadline deadline, Call& call,
                  const json::object* transcript) {
  answer::Listener listener;
  listener.on_sources = [&](const std::vector<answer::Citation>&) {
    call.served = SteadyClock::now();
  };
  const auto answer = context.answers.ask(body.request, deadline, call.cancel(), listener);
  if (!answer) return refuse(ask_problem(answer.error(), body));
  remember(context, body, *answer);
  return json_response(200, whole_body(*answer, transcript));
}

Outcome ask_streamed(const Context& context, const AskBody& body, Deadline deadline, Call& call,
                     const json::object* transcript) {
  const auto stream = std::make_shared<EventStream>(call);
  context.heartbeat.watch(stream);
  if (transcript != nullptr) stream->send("transcript", json_text(*transcript));
  bool sources_sent = false;
  bool claims_sent = false;
  const auto send_sources = [&](const std::vector<answer::Citation>& citations) {
    if (std::exchange(sources_sent, true)) return;
    call.served = SteadyClock::now();
    stream->send("sources", json_text(json::object{{"citations", citation_list(citations)}}));
  };
  const auto send_claims = [&](const answer::Answer& answer) {
    if (std::exchange(claims_sent, true)) return;
    stream->send("claims", json_text(json::object{{"answer", answer.text},
                                                  {"claims", claim_list(answer.claims)},
                                                  {"citations", citation_list(answer.citations)}}));
  };
  answer::Listener listener;
  listener.on_sources = send_sources;
  listener.on_token = [&](std::string_view token) {
    return stream->send("token", json_text(json::object{{"text", token}}));
  };
  listener.on_claims = send_claims;
  const auto answer = context.answers.ask(body.request, deadline, call.cancel(), listener);
  if (!answer) {
    const Problem problem = ask_problem(answer.error(), body);
    if (!stream->begun()) {
      stream->end();
      return refuse(problem);
    }
    send_error_event(call, *stream, problem);
    return std::nullopt;
  }
  // A refusal may have had no sources and no claims to tell of: the order of events is the same for
  // all.
  remember(context, body, *answer);
  send_sources(answer->citations);
  send_claims(*answer);
  stream->send("done", json_text(whole_body(*answer, transcript)));
  stream->end();
  return std::nullopt;
}

/// The events of an answer that is there already, as one body.
http::Response replayed(const answer::Answer& answer) {
  http::Response response = EventStream::head();
  const json::array citations = citation_list(answer.citations);
  response.body =
      EventStream::event("sources", json_text(json::object{{"citations", citations}})) +
      EventStream::event("token", json_text(json::object{{"text", answer.text}})) +
      EventStream::event("claims", json_text(json::object{{"answer", answer.text},
                                                          {"claims", claim_list(answer.claims)},
                                                          {"citations", citations}})) +
      EventStream::event("done", json_text(answer_body(answer)));
  return response;
}

void remember(const Context& context, const AskBody& body, const answer::Answer& answer) {
  if (context.warmer == nullptr || *context.warmer == nullptr) return;
  // What a kept answer had cost is not known here; what it cost when it was made stays remembered.
  const bool made = answer.cached.empty();
  const auto cost_us = made ? std::chrono::microseconds(answer.total).count() : 0;
  (*context.warmer)
      ->used(cache::Kind::kAnswer, context.answers.name_of(body.request),
             static_cast<std::uint32_t>(cost_us), [&] { return encode_ask(body); });
}

/// What memory holds already; everything else is for the pool, mistakes in the request too.
std::optional<http::Response> ask_at_once(const Context& context, const Call& call) {
  auto reader = body_of(call, BodyReader::Unknown::kRefuse);
  if (!reader) return std::nullopt;
  const auto body = decode_ask(std::move(*reader), filter_now());
  if (!body) return std::nullopt;
  const auto answer = context.answers.find_at_once(body->request);
  if (!answer) return std::nullopt;
  remember(context, *body, *answer);
  return body->delivery == Delivery::kStream ? replayed(*answer)
                                             : json_response(200, answer_body(*answer));
}

}  // namespace

bool warm_answer(const Context& context, const std::string& body, const CancelToken& cancel) {
  auto reader = BodyReader::parse(body, BodyReader::Unknown::kRefuse);
  if (!reader) return false;
  auto decoded = decode_ask(std::move(*reader), filter_now());
  if (!decoded) return false;
  return context.answers.warm(std::move(decoded->request), Deadline::after(kChatLimit), cancel);
}

Outcome run_ask(const Context& context, const AskBody& body, Deadline deadline, Call& call,
                const json::object* transcript) {
  return body.delivery == Delivery::kStream
             ? ask_streamed(context, body, deadline, call, transcript)
             : ask_whole(context, body, deadline, call, transcript);
}

void add_ask_routes(const Context& context, std::vector<Route>& routes) {
  Route route{"POST",
              "/api/ask",
              service::Level::kSearch,
              Lane::kAsk,
              [&context](Call& call) -> Outcome {
                auto reader = body_of(call, BodyReader::Unknown::kRefuse);
                if (!reader) return refuse(reader.error());
                auto body = decode_ask(std::move(*reader), filter_now());
                if (!body) return refuse(body.error());
                body->request.priority = call.priority;
                body->request.tenant = call.tenant;
                body->request.request_id = call.id;
                // A caller who names a longer time than the default has the patience for it.
                const Deadline deadline = call.deadline(body->deadline.value_or(kAskLimit));
                return run_ask(context, *body, deadline, call, nullptr);
              },
              "Ask the notes",
              {}};
  route.at_once = [&context](const Call& call) { return ask_at_once(context, call); };
  routes.push_back(std::move(route));
}

}  // namespace knap::api
