#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/deadline.hpp"
#include "knap/http/server.hpp"
#include "knap/models/models.hpp"
#include "knap/observe/trace.hpp"
#include "knap/service/level.hpp"
#include "problem.hpp"

namespace knap::api {

class Heartbeat;

/// One request on its way through a route. Threads: one at a time; `request` may be read from any.
struct Call {
  std::shared_ptr<const http::Request> request;
  std::shared_ptr<http::Responder> responder;
  std::string id;             ///< Made or taken over; echoed and logged.
  http::Fields common;        ///< Fields of every response to it: id, CORS.
  std::string path_argument;  ///< What the route's {...} matched.
  std::optional<std::chrono::milliseconds> header_deadline;    ///< X-Knap-Deadline-Ms
  models::Priority priority = models::Priority::kInteractive;  ///< X-Knap-Priority
  std::string tenant;    ///< X-Knap-Tenant; empty: the default one.
  observe::Trace trace;  ///< What it did so far.
  /// When a streaming route sent what its level's limit holds for; unset: with the last byte.
  std::optional<SteadyClock::time_point> served;
  /// What a handler leaves until its response is sent, on the same thread: nobody waits for it.
  std::function<void()> afterwards;

  const CancelToken& cancel() const { return request->cancel; }
  /// Counted from the request's arrival: `limit`, tightened by the header and by the body's wish.
  Deadline deadline(std::chrono::milliseconds limit,
                    std::optional<std::chrono::milliseconds> wish = {}) const;
  /// The response with the common fields.
  http::Response with_common(http::Response response) const;
};

/// A response to send, or nothing when the route has streamed one itself.
using Outcome = Checked<std::optional<http::Response>>;
using RouteHandler = std::function<Outcome(Call&)>;

/// Which threads a route runs on.
enum class Lane {
  kStatus,   ///< One thread of its own, for what never waits and takes no time.
  kReports,  ///< One thread of its own, for what is read by operators and takes milliseconds.
  kSearch,
  kAsk,
};
inline constexpr std::array kLanes{Lane::kStatus, Lane::kReports, Lane::kSearch, Lane::kAsk};

/// Also the metrics label.
constexpr std::string_view to_string(Lane lane) {
  switch (lane) {
    case Lane::kStatus: return "status";
    case Lane::kReports: return "reports";
    case Lane::kSearch: return "search";
    case Lane::kAsk: return "ask";
  }
  return "search";
}

enum class ErrorShape { kProblem, kOpenAi };

struct Route {
  std::string_view method;   ///< "GET", "POST", "DELETE"
  std::string_view pattern;  ///< At most one {name}, which takes slashes too.
  service::Level level;
  Lane lane;
  RouteHandler handler;
  std::string_view summary;  ///< As in openapi.yaml.
  /// Answers on the I/O thread what takes microseconds, or gives nothing: then the handler runs.
  std::function<std::optional<http::Response>(const Call&)> at_once = {};
};

/// Finds the route of a path. Immutable after construction.
class Router {
 public:
  explicit Router(std::vector<Route> routes);

  struct Match {
    const Route* route = nullptr;  ///< Null: see `allow`.
    std::string argument;
    std::vector<std::string> allow;  ///< Methods of the path; empty: no such path.
  };
  /// HEAD is answered by GET's route.
  Match find(std::string_view method, std::string_view path) const;
  const std::vector<Route>& routes() const { return routes_; }

 private:
  std::vector<Route>
      routes_;  ///< Longer patterns first, so that suffixes win over the plain {path}.
};

bool is_openai_path(std::string_view path);

}  // namespace knap::api
