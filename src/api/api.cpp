#include "knap/api/api.hpp"

#include <charconv>
#include <optional>

#include "caller.hpp"
#include "guard.hpp"
#include "json_views.hpp"
#include "knap/base/thread_pool.hpp"
#include "knap/http/compress.hpp"
#include "knap/observe/log.hpp"
#include "route_metrics.hpp"
#include "routes.hpp"

namespace knap::api {
namespace {

constexpr std::size_t kStatusQueue = 512;
/// Caches have shrunk by then, if that helps.
constexpr std::chrono::seconds kMemoryRetry{5};
constexpr std::chrono::milliseconds kHeartbeat{15'000};
constexpr std::size_t kTraceParentMax = 64;
/// Larger bodies are not read on the I/O thread.
constexpr std::size_t kAtOnceBodyMax = 16U << 10;

std::int64_t unix_now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::int64_t ms_since(SteadyClock::time_point begin) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(SteadyClock::now() - begin).count();
}

/// Members that the routes point to must not move: made before the server, gone after it.
class HttpApi final : public Api {
 public:
  HttpApi(ApiOptions options, ApiParts parts)
      : options_(std::move(options)),
        searches_(parts.cache, parts.index, settings_print(options_.settings)),
        answers_(parts.answerer, parts.cache, parts.index, parts.models,
                 settings_print(options_.settings),
                 options_.reworded_answers ? AnswerCache::Wordings::kShared
                                           : AnswerCache::Wordings::kApart),
        context_{options_,
                 parts,
                 jobs_,
                 heartbeat_,
                 SteadyClock::now(),
                 unix_now(),
                 [this] { return connections(); },
                 searches_,
                 answers_,
                 &warmer_},
        guard_(options_.host, options_.allowed_hosts, options_.allowed_origins),
        router_(all_routes(context_)),
        metrics_(parts.metrics, router_.routes()) {}

  ~HttpApi() override {
    stop();
    if (warmer_) warmer_->stop();  // its thread uses what is gone before it
  }

  Status listen() {
    if (context_.parts.cache != nullptr) start_warmer();
    http::Server::Options server;
    server.host = options_.host;
    server.port = options_.port;
    server.max_body_bytes = options_.max_body_bytes;
    KNAP_TRY(auto started, http::Server::start(server, [this](auto request, auto responder) {
               take(std::move(request), std::move(responder));
             }));
    server_ = std::move(started);
    open_.store(server_.get());
    resume_recordings(context_);
    return {};
  }

  std::uint16_t port() const override { return server_->port(); }

  void start_warmer() {
    Warmer::Work work;
    work.content = [this]() -> std::optional<std::string> {
      auto content = context_.parts.index.content({}, index::Effort::kWhole);
      return content ? std::optional(std::move(content->key)) : std::nullopt;
    };
    work.make = [this](cache::Kind kind, const std::string& body, Warmer::Work::Need need) {
      if (kind == cache::Kind::kAnswer) return warm_answer(context_, body, warm_cancel_);
      return warm_search(context_, body, need, warm_cancel_);
    };
    warmer_ = std::make_unique<Warmer>(Warmer::Options{options_.warm_questions, options_.warm_file},
                                       std::move(work), context_.parts.metrics);
  }

  void stop() override {
    const MutexLock lock(stop_mutex_);
    if (!server_ || stopped_) return;
    stopped_ = true;
    jobs_.stop();
    warm_cancel_.cancel();
    server_->stop(options_.stop_grace);
    if (warmer_) warmer_->stop();
    open_.store(nullptr);
  }

 private:
  std::size_t connections() const {
    const http::Server* server = open_.load();
    return server == nullptr ? 0 : server->connections();
  }

  /// On the I/O thread: decides who may ask what, then hands over.
  void take(std::shared_ptr<const http::Request> request,
            std::shared_ptr<http::Responder> responder) {
    auto call = std::make_shared<Call>();
    const auto id = request->fields.get("X-Request-Id");
    call->id = id && is_request_id(*id) ? std::string(*id) : random_id();
    call->request = std::move(request);
    call->responder = std::move(responder);
    call->trace.received = call->request->received;
    if (const auto parent = call->request->fields.get("traceparent"))
      call->trace.parent = std::string(parent->substr(0, kTraceParentMax));
    call->trace.received_unix_ms = unix_now_ms() - ms_since(call->request->received);
    const auto allowed = guard_.check(*call->request);
    if (allowed) call->common = *allowed;
    call->common.set("X-Request-Id", call->id);
    call->common.set("X-Content-Type-Options", "nosniff");
    if (!allowed) return reply_problem(*call, nullptr, allowed.error());
    Router::Match match = router_.find(call->request->method, call->request->path);
    if (call->request->method == "OPTIONS") return reply_options(*call, match);
    if (match.route == nullptr) return reply_unmatched(*call, match);
    call->path_argument = std::move(match.argument);
    if (const auto read = read_deadline_header(*call); !read)
      return reply_problem(*call, match.route, read.error());
    if (const auto read = read_caller(*call); !read)
      return reply_problem(*call, match.route, read.error());
    if (answer_at_once(*call, *match.route)) return;
    hand_over(call, *match.route);
  }

  /// What is cached in memory waits in no queue.
  bool answer_at_once(Call& call, const Route& route) {
    if (!route.at_once || call.request->body.size() > kAtOnceBodyMax) return false;
    try {
      auto response = route.at_once(call);
      if (!response) return false;
      reply(call, &route, std::move(*response));
      return true;
    } catch (const std::exception&) {
      return false;  // the handler will meet it too, and counts it
    }
  }

  /// Never waits: what cannot be taken is refused here, on the I/O thread.
  void hand_over(const std::shared_ptr<Call>& call, const Route& route) {
    const bool levels = options_.work.levels == service::WorkPool::Levels::kOn;
    const bool own_thread = route.lane == Lane::kStatus || route.lane == Lane::kReports;
    if (levels && own_thread) {
      ThreadPool& pool = route.lane == Lane::kStatus ? status_pool_ : reports_pool_;
      if (const Status queued = pool.submit([this, call, &route] { run(*call, route); }); !queued) {
        metrics_.refused_full();
        reply_problem(*call, &route, overloaded("the server is busy: try again in a second"));
      }
      return;
    }
    if (options_.out_of_memory && options_.out_of_memory()) {
      metrics_.refused_memory();
      Problem problem = overloaded(
          "the server is short of memory: try again in 5 s; service.memory_bytes or the container "
          "sets what it may take");
      problem.retry_after = kMemoryRetry;
      return reply_problem(*call, &route, problem);
    }
    service::WorkPool& pool = route.lane == Lane::kAsk ? answer_pool_ : search_pool_;
    const auto lane = work_lane(*call, route);
    service::WorkPool::Work work;
    work.lane = lane;
    work.deadline = call->deadline(patience(route));
    work.promised = call->deadline(service::spec(route.level).limit);
    work.cancel = call->cancel();
    work.run = [this, call, &route, &pool, lane] {
      const auto begin = SteadyClock::now();
      const int status = run(*call, route);
      if (status < 400) pool.served(lane, call->served.value_or(SteadyClock::now()) - begin);
    };
    work.drop = [this, call, &route] { reply_late(*call, route); };
    if (const auto refusal = pool.submit(std::move(work))) refuse_work(*call, route, *refusal);
  }

  /// How long a request that was let in may wait and work. An ask's level says when its first
  /// quotes are due, by which the door decides; whoever passed it keeps the time that asks have,
  /// since an answer after that limit is still one.
  static std::chrono::milliseconds patience(const Route& route) {
    const auto limit = service::spec(route.level).limit;
    return route.lane == Lane::kAsk ? std::max(limit, kAskLimit) : limit;
  }

  static service::WorkLane work_lane(const Call& call, const Route& route) {
    using service::Level;
    using service::WorkLane;
    if (call.priority == models::Priority::kBackground) return WorkLane::kBackground;
    if (call.priority == models::Priority::kSearch) return WorkLane::kSearch;
    if (route.lane == Lane::kAsk) return WorkLane::kInteractive;
    switch (route.level) {
      case Level::kStatus:
      case Level::kCached: return WorkLane::kInteractive;
      case Level::kSearch: return WorkLane::kSearch;
      case Level::kComplex:
      case Level::kBatch: return WorkLane::kBackground;
    }
    return WorkLane::kSearch;
  }

  void refuse_work(Call& call, const Route& route, const service::Refusal& refusal) {
    const bool late = refusal.reason == service::Refusal::Reason::kLate;
    late ? metrics_.refused_late() : metrics_.refused_full();
    const std::string when = std::to_string(refusal.retry_after.count());
    Problem problem = overloaded(
        late ? "the server is busy: this would take about " +
                   std::to_string(refusal.predicted.count()) +
                   " ms, longer than its deadline: try again in " + when + " s"
             : "the server is busy: as many requests wait as it can serve in time: try again in " +
                   when + " s");
    problem.retry_after = refusal.retry_after;
    reply_problem(call, &route, problem);
  }

  void reply_late(Call& call, const Route& route) {
    metrics_.refused_late();
    reply_problem(call, &route,
                  {504,
                   "deadline_exceeded",
                   "the deadline passed while the request waited for its turn",
                   {}});
  }

  service::WorkPool::Options pool_options(std::string name, std::size_t threads,
                                          std::size_t background, std::size_t waiting,
                                          service::WorkPool::Pinning pinning = {}) const {
    service::WorkPool::Options out;
    out.pinning = pinning;
    out.name = std::move(name);
    out.threads = threads;
    out.levels = options_.work.levels;
    // Of the threads' time while all wait: 8 of 13 parts, 4, and 1.
    out.lanes = {{{8, threads, waiting, options_.work.queue_target},
                  {4, threads, waiting, options_.work.queue_target},
                  {1, background, waiting, options_.work.queue_target}}};
    return out;
  }

  service::WorkPool::Options answer_pool_options() const {
    // Background answers leave half of the threads to others, whatever they are many.
    auto out = pool_options("knap-answer", options_.work.answer_threads,
                            std::max<std::size_t>(1, options_.work.answer_threads / 2),
                            options_.work.answer_waiting);
    out.order = service::WorkPool::Order::kOldestFirst;
    return out;
  }

  static Checked<void> read_deadline_header(Call& call) {
    const auto text = call.request->fields.get("X-Knap-Deadline-Ms");
    if (!text) return {};
    std::int64_t milliseconds = 0;
    const auto read = std::from_chars(text->data(), text->data() + text->size(), milliseconds);
    constexpr std::int64_t kMax = 600'000;
    if (read.ec != std::errc{} || read.ptr != text->data() + text->size() || milliseconds < 1 ||
        milliseconds > kMax) {
      return refuse(wrong_field("X-Knap-Deadline-Ms",
                                "X-Knap-Deadline-Ms must be a whole number from 1 to 600000"));
    }
    call.header_deadline = std::chrono::milliseconds(milliseconds);
    return {};
  }

  /// On a pool's thread.
  /// Returns the status that was answered.
  int run(Call& call, const Route& route) {
    const auto waited = SteadyClock::now() - call.request->received;
    metrics_.record_wait(route.lane, waited);
    const observe::TraceScope scope(call.trace);
    observe::trace_stage("queue", call.request->received, waited, to_string(route.lane));
    const bool levels = options_.work.levels == service::WorkPool::Levels::kOn;
    // What has a thread of its own costs less than a refusal that sends its caller round again.
    const bool own_thread = route.lane == Lane::kStatus || route.lane == Lane::kReports;
    const bool may_be_late = !levels || (own_thread && !call.header_deadline);
    const bool late = !may_be_late && call.deadline(patience(route)).expired();
    if (late || call.cancel().cancelled()) {
      reply_late(call, route);
      return 504;
    }
    Outcome outcome = refuse({500, "internal", "the server failed at this request", {}});
    try {
      outcome = route.handler(call);
    } catch (const std::exception&) {
      // A bug, or memory is short. The request fails, the server lives; what() could quote a note.
      internal_errors_.add();
    }
    if (!outcome) {
      reply_problem(call, &route, outcome.error());
      return outcome.error().status;
    }
    if (*outcome) {
      const int status = (*outcome)->status;
      reply(call, &route, std::move(**outcome));
      run_afterwards(call);
      return status;
    }
    record(call, &route, 200);
    return 200;
  }

  void run_afterwards(Call& call) {
    if (!call.afterwards) return;
    try {
      call.afterwards();
    } catch (const std::exception&) {
      internal_errors_.add();
    }
    call.afterwards = {};
  }

  void compress_body(Call& call, http::Response& response) const {
    if (response.body.size() < options_.compress_from_bytes) return;
    const auto type = response.fields.get("Content-Type");
    if (!type || !http::is_compressible(*type) || response.fields.get("Content-Encoding")) return;
    const auto vary = call.common.get("Vary");
    call.common.set("Vary", vary ? std::string(*vary) + ", Accept-Encoding" : "Accept-Encoding");
    const auto accept = call.request->fields.get("Accept-Encoding");
    const auto encoding = http::negotiate_encoding(accept.value_or(""));
    if (!encoding) return;
    auto smaller = http::compress(response.body, *encoding);
    if (!smaller || smaller->size() >= response.body.size()) return;
    response.body = std::move(*smaller);
    response.fields.set("Content-Encoding", http::to_string(*encoding));
  }

  void reply(Call& call, const Route* route, http::Response response) {
    const int status = response.status;
    compress_body(call, response);
    call.responder->send(call.with_common(std::move(response)));
    record(call, route, status);
  }

  /// Refusals are quick and many, and say nothing that their counters do not.
  void keep_trace(Call& call, const Route& route, int status, SteadyClock::duration took) {
    const bool failed = status >= 500 && status != 503;
    const bool keep = took >= options_.slow_request || failed;
    if (!keep && !options_.on_trace) return;
    observe::Trace& trace = call.trace;
    trace.request_id = call.id;
    trace.route = std::string(route.method) + " " + std::string(route.pattern);
    trace.level = std::string(service::spec(route.level).name);
    trace.status = status;
    trace.took = std::chrono::duration_cast<std::chrono::microseconds>(took);
    if (options_.on_trace) options_.on_trace(trace);
    if (keep) context_.parts.slow.add(std::move(trace));
  }

  void record(Call& call, const Route* route, int status) {
    const auto now = SteadyClock::now();
    const auto took = now - call.request->received;
    metrics_.record(route, status, took);
    if (route != nullptr) {
      keep_trace(call, *route, status, took);
      metrics_.record_level(route->level, status,
                            call.served.value_or(now) - call.request->received);
    }
    if (status >= 500 && status != 503 && status != 504) {
      observe::log_warning("http_request_failed", "a request failed",
                           {{"route", route == nullptr ? "unmatched" : std::string(route->pattern)},
                            {"status", std::int64_t{status}},
                            {"took_ms", std::chrono::duration<double, std::milli>(took).count()},
                            {"request_id", call.id}});
    }
  }

  void reply_problem(Call& call, const Route* route, const Problem& problem) {
    const bool openai = is_openai_path(call.request->path);
    http::Response response = openai ? openai_error(problem) : problem_json(problem, call.id);
    if (problem.status == 405) {
      const auto match = router_.find(call.request->method, call.request->path);
      std::string allow;
      for (const std::string& method : match.allow) allow += method + ", ";
      response.fields.set("Allow", allow + "OPTIONS");
    }
    reply(call, route, std::move(response));
  }

  void reply_options(Call& call, const Router::Match& match) {
    if (match.route == nullptr && match.allow.empty()) return reply_unmatched(call, match);
    http::Response response;
    response.status = 204;
    if (call.request->fields.get("Origin")) add_preflight_fields(*call.request, response.fields);
    std::string allow = "OPTIONS";
    for (const std::string& method : match.allow) allow += ", " + method;
    response.fields.set("Allow", allow);
    reply(call, nullptr, std::move(response));
  }

  void reply_unmatched(Call& call, const Router::Match& match) {
    if (match.allow.empty()) {
      return reply_problem(
          call, nullptr, not_found("no such route: GET /openapi.json describes those that exist"));
    }
    reply_problem(
        call, nullptr,
        {405, "method_not_allowed", "this route does not know that method: see Allow", {}});
  }

  const ApiOptions options_;
  Jobs jobs_;
  Heartbeat heartbeat_{kHeartbeat};
  std::atomic<const http::Server*> open_ = nullptr;
  SearchCache searches_;
  AnswerCache answers_;
  std::unique_ptr<Warmer> warmer_;
  const Context context_;
  const Guard guard_;
  const Router router_;
  RouteMetrics metrics_;
  observe::Counter& internal_errors_ = context_.parts.metrics.counter(
      "knap_http_internal_errors_total", "Requests that met a bug of ours");
  Mutex stop_mutex_;
  bool stopped_ KNAP_GUARDED_BY(stop_mutex_) = false;
  std::unique_ptr<http::Server> server_;
  // Last: their destruction runs what is queued, which needs all of the above.
  ThreadPool status_pool_{{"knap-status", 1, kStatusQueue}};
  ThreadPool reports_pool_{{"knap-reports", 1, kStatusQueue}};
  service::WorkPool search_pool_{
      pool_options("knap-search", options_.work.search_threads,
                   std::max<std::size_t>(1, options_.work.search_threads / 2),
                   options_.work.search_waiting, options_.work.pinning),
      context_.parts.metrics};
  service::WorkPool answer_pool_{answer_pool_options(), context_.parts.metrics};
  const CancelToken warm_cancel_;
};

}  // namespace

Result<std::unique_ptr<Api>> Api::start(ApiOptions options, ApiParts parts) {
  if (!is_loopback(options.host)) {
    return make_error(ErrorCode::kFailedPrecondition,
                      "refusing to listen on '" + options.host +
                          "' without authentication: anyone in the network could read your notes. "
                          "Set server.host to 127.0.0.1");
  }
  auto api = std::make_unique<HttpApi>(std::move(options), parts);
  KNAP_CHECK_OK(api->listen());
  return std::unique_ptr<Api>(std::move(api));
}

}  // namespace knap::api
