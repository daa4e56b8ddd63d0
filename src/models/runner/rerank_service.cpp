#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/json.hpp>

#include "knap/base/json_text.hpp"
#include "knap/base/thread_pool.hpp"
#include "runner/batches.hpp"
#include "runner/rerank_engine.hpp"
#include "runner/service.hpp"
#include "runner/steps.hpp"

namespace knap::models::runner {
namespace {

namespace json = boost::json;

constexpr std::size_t kTextsMax = 512;
// Tokens a step, as of embeddings: a search that gives up ends within one.
constexpr std::size_t kStepTokens = 512;
constexpr std::size_t kRequestsQueue = 64, kStepsQueue = 256;
constexpr std::size_t kRequestsTogether = 2;

struct RerankRequest {
  std::string question;
  std::vector<std::string> texts;
  bool background = false;
  std::size_t threads = 0;  ///< 0: all.
};

Error wrong(std::string message) {
  return make_error(ErrorCode::kInvalidArgument, std::move(message));
}

Result<RerankRequest> parse_request(const std::string& body) {
  boost::system::error_code error;
  const json::value root = json::parse(body, error);
  if (error || !root.is_object()) return wrong("the body is not a JSON object");
  const json::object& object = root.get_object();
  RerankRequest request;
  const auto* query = object.if_contains("query");
  if (query == nullptr || !query->is_string()) return wrong("'query' must be a text");
  request.question = query->get_string();
  const auto* documents = object.if_contains("documents");
  if (documents == nullptr || !documents->is_array() || documents->get_array().empty() ||
      documents->get_array().size() > kTextsMax)
    return wrong(fmt::format("'documents' must be a list of 1 to {} texts", kTextsMax));
  for (const json::value& each : documents->get_array()) {
    if (!each.is_string()) return wrong("'documents' holds something that is no text");
    request.texts.emplace_back(each.get_string());
  }
  const auto* priority = object.if_contains("priority");
  request.background = priority != nullptr && *priority == "background";
  if (const auto* threads = object.if_contains("threads");
      threads != nullptr && threads->is_int64() && threads->get_int64() > 0)
    request.threads = static_cast<std::size_t>(threads->get_int64());
  return request;
}

class RerankService final : public Service {
 public:
  RerankService(const RunnerOptions& options, std::unique_ptr<RerankEngine> engine)
      : options_(options),
        engine_(std::move(engine)),
        requests_(
            {.name = "requests", .threads = kRequestsTogether, .queue_limit = kRequestsQueue}),
        interactive_(
            {.name = "interactive", .threads = options.threads, .queue_limit = kStepsQueue}),
        background_(
            {.name = "background", .threads = options.threads, .queue_limit = kStepsQueue}) {}

  bool handle(const std::shared_ptr<const http::Request>& request,
              const std::shared_ptr<http::Responder>& responder) override {
    if (request->method != "POST" || request->path != "/v1/rerank") return false;
    if (!requests_.submit([this, request, responder] { answer(*request, *responder); })) {
      responder->send(
          error_response(make_error(ErrorCode::kUnavailable, "too many requests wait; try again")));
    }
    return true;
  }

  std::string stats() const override {
    json::object result;
    result["role"] = "rerank";
    result["model"] = options_.model;
    result["precision"] = to_string(options_.precision);
    result["texts"] = texts_.load();
    result["tokens"] = tokens_.load();
    result["queued"] = requests_.queued();
    return json_text(result);
  }

 private:
  void answer(const http::Request& request, http::Responder& responder) {
    const auto work = parse_request(request.body);
    if (!work) return responder.send(error_response(work.error()));
    std::vector<std::vector<std::int32_t>> pairs;
    std::vector<std::size_t> lengths;
    std::uint64_t tokens = 0;
    for (const std::string& text : work->texts) {
      pairs.push_back(engine_->tokenize(work->question, text));
      lengths.push_back(pairs.back().size());
      tokens += lengths.back();
    }
    const auto batches = make_batches(lengths, kStepTokens);
    std::vector<float> logits(pairs.size());
    const auto step = [&](std::size_t i) -> Status {
      KNAP_CHECK_OK(still_wanted(request.cancel, Deadline::never()));
      std::vector<const std::vector<std::int32_t>*> texts;
      for (const std::size_t index : batches[i]) texts.push_back(&pairs[index]);
      std::vector<float> out(texts.size());
      KNAP_CHECK_OK(engine_->run(texts, out, Lane::kBackground));
      for (std::size_t k = 0; k < texts.size(); ++k) logits[batches[i][k]] = out[k];
      return {};
    };
    const std::size_t threads =
        work->threads > 0 ? std::min(work->threads, options_.threads) : options_.threads;
    const Status status = work->background
                              ? run_steps(background_, threads, batches.size(), step, Pace::kLow)
                              : run_steps(interactive_, threads, batches.size(), step);
    if (!status) return responder.send(error_response(status.error()));
    texts_ += pairs.size();
    tokens_ += tokens;
    json::object body;
    body["model"] = options_.model;
    body["logits"] = json::array(logits.begin(), logits.end());
    body["usage"] = json::object{{"total_tokens", tokens}};
    responder.send(http::Response::json(200, json_text(body)));
  }

  const RunnerOptions options_;
  const std::unique_ptr<RerankEngine> engine_;
  std::atomic<std::uint64_t> texts_ = 0, tokens_ = 0;
  ThreadPool requests_;  ///< Parse, tokenize and answer.
  ThreadPool interactive_, background_;
};

}  // namespace

Result<std::unique_ptr<Service>> open_rerank_service(const RunnerOptions& options) {
  // Steps compute on threads of the service, each for itself.
  KNAP_TRY(auto engine, RerankEngine::open({.model_dir = options.model_dir,
                                            .max_tokens = options.max_tokens,
                                            .precision = options.precision,
                                            .streams = options.threads,
                                            .interactive_threads = 1}));
  return std::unique_ptr<Service>(std::make_unique<RerankService>(options, std::move(engine)));
}

}  // namespace knap::models::runner
