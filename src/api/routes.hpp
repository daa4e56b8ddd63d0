#pragma once

#include <string>
#include <vector>

#include "answer_cache.hpp"
#include "body_reader.hpp"
#include "event_stream.hpp"
#include "jobs.hpp"
#include "knap/api/api.hpp"
#include "route.hpp"
#include "search_cache.hpp"
#include "warmer.hpp"

namespace knap::api {

/// What routes share. Outlives all of them.
struct Context {
  const ApiOptions& options;
  ApiParts parts;
  Jobs& jobs;
  Heartbeat& heartbeat;
  SteadyClock::time_point started;
  std::int64_t started_s = 0;
  std::function<std::size_t()> connections;  ///< Open now.
  SearchCache& searches;
  AnswerCache& answers;                             ///< In front of parts.answerer.
  const std::unique_ptr<Warmer>* warmer = nullptr;  ///< May be null, or point to null.
};

/// An answer's wording may take this long; the level's limit holds for its sources.
inline constexpr std::chrono::milliseconds kAskLimit{30'000};
/// Of a plain model's chat: small machines write a few words a second.
inline constexpr std::chrono::milliseconds kChatLimit{120'000};

struct AskBody;
/// Answers a question, streamed or whole. `transcript` is what was heard of a spoken one: the event
/// `transcript` before all others, and a member of the answer. Null: it was typed.
Outcome run_ask(const Context& context, const AskBody& body, Deadline deadline, Call& call,
                const boost::json::object* transcript);

void add_search_routes(const Context& context, std::vector<Route>& routes);
void add_ask_routes(const Context& context, std::vector<Route>& routes);
void add_note_routes(const Context& context, std::vector<Route>& routes);
void add_import_routes(const Context& context, std::vector<Route>& routes);
void add_index_routes(const Context& context, std::vector<Route>& routes);
void add_model_routes(const Context& context, std::vector<Route>& routes);
void add_cache_routes(const Context& context, std::vector<Route>& routes);
void add_ops_routes(const Context& context, std::vector<Route>& routes);
void add_web_routes(const Context& context, std::vector<Route>& routes);
void add_alert_routes(const Context& context, std::vector<Route>& routes);
void add_vitals_routes(const Context& context, std::vector<Route>& routes);
void add_openai_routes(const Context& context, std::vector<Route>& routes);
void add_voice_routes(const Context& context, std::vector<Route>& routes);
/// All of the above.
std::vector<Route> all_routes(const Context& context);

/// What the warmer does with a search or a question that was asked before. True: it was made.
bool warm_search(const Context& context, const std::string& body, Warmer::Work::Need need,
                 const CancelToken& cancel);
bool warm_answer(const Context& context, const std::string& body, const CancelToken& cancel);
/// Goes on with recordings that an earlier process had not heard to their end.
void resume_recordings(const Context& context);
/// What /api/performance/metrics and /api/health/detailed share.
boost::json::array alert_list(const std::vector<ops::Alert>& alerts);
boost::json::array kpi_list(const ops::Vitals& vitals);

/// Helpers of the groups.
Checked<BodyReader> body_of(const Call& call, BodyReader::Unknown unknown);
http::Response json_response(int status, const boost::json::object& value);
/// Ends a stream with an "error" event.
void send_error_event(const Call& call, EventStream& stream, const Problem& problem);

}  // namespace knap::api
