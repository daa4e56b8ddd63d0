#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/json.hpp>

#include "knap/base/hash.hpp"
#include "knap/base/json_text.hpp"
#include "knap/base/mutex.hpp"
#include "knap/base/text.hpp"
#include "knap/base/thread_pool.hpp"
#include "runner/batches.hpp"
#include "runner/embed_engine.hpp"
#include "runner/service.hpp"
#include "runner/steps.hpp"
#include "runner_embedder.hpp"

namespace knap::models::runner {
namespace {

namespace json = boost::json;
constexpr std::size_t kTextsMax = 512;
// Tokens a step. Short steps end soon after a search arrives, and larger ones are no faster:
// measured tokens/s on one core with 128-token texts: 512 11,690, 1,024 8,828, 2,048 10,117, 4,096
// 9,859.
constexpr std::size_t kStepTokens = 512;
constexpr std::size_t kInteractiveQueue = 64;
constexpr std::size_t kBackgroundQueue = 256;
// Above this a body is parsed by the background threads, so that it never delays a query's few
// bytes.
constexpr std::size_t kLargeBodyBytes = 64U << 10;
// Lengths of the queries that people type: kernels for these shapes are made before the first one
// comes.
constexpr std::size_t kWarmTokensMax = 24;
// As many queries together as callers send (index::kQueriesTogether), of this many tokens each.
constexpr std::size_t kWarmTogether = 8, kWarmTokensEach = 12;

struct EmbedRequest {
  std::vector<std::string> texts;
  Lane lane = Lane::kInteractive;
  bool base64 = false;
};

Error wrong(std::string message) {
  return make_error(ErrorCode::kInvalidArgument, std::move(message));
}

Result<EmbedRequest> parse_request(const std::string& body) {
  boost::system::error_code error;
  json::value root = json::parse(body, error);
  if (error || !root.is_object()) return wrong("the body is not a JSON object");
  json::object& object = root.get_object();
  EmbedRequest request;
  const auto* input = object.if_contains("input");
  if (input != nullptr && input->is_string()) {
    request.texts.emplace_back(input->get_string());
  } else if (input != nullptr && input->is_array() && input->get_array().size() <= kTextsMax) {
    for (const json::value& each : input->get_array()) {
      if (!each.is_string()) return wrong("'input' holds something that is no text");
      request.texts.emplace_back(each.get_string());
    }
  }
  if (request.texts.empty())
    return wrong(fmt::format("'input' must be a text or a list of 1 to {} texts", kTextsMax));
  if (const auto* format = object.if_contains("encoding_format"); format != nullptr) {
    if (*format != "float" && *format != "base64")
      return wrong("'encoding_format' must be float or base64");
    request.base64 = *format == "base64";
  }
  if (const auto* priority = object.if_contains("priority"); priority != nullptr) {
    if (*priority != "interactive" && *priority != "background")
      return wrong("'priority' must be interactive or background");
    request.lane = *priority == "background" ? Lane::kBackground : Lane::kInteractive;
  }
  return request;
}

std::string make_answer(const EmbedRequest& request, std::span<const float> values,
                        std::size_t dimensions, std::uint64_t tokens, const std::string& model) {
  json::array data;
  data.reserve(request.texts.size());
  for (std::size_t i = 0; i < request.texts.size(); ++i) {
    const auto row = values.subspan(i * dimensions, dimensions);
    json::object item;
    item["object"] = "embedding";
    item["index"] = i;
    if (request.base64) {
      item["embedding"] =
          base64_encode({reinterpret_cast<const char*>(row.data()), row.size_bytes()});
    } else {
      item["embedding"] = json::array(row.begin(), row.end());
    }
    data.push_back(std::move(item));
  }
  json::object answer;
  answer["object"] = "list";
  answer["data"] = std::move(data);
  answer["model"] = model;
  answer["usage"] = json::object{{"prompt_tokens", tokens}, {"total_tokens", tokens}};
  return json_text(answer);
}

/// One request's steps.
struct Job {
  std::vector<std::vector<std::int32_t>> ids;
  std::vector<std::vector<std::size_t>> batches;
  std::vector<float> values;
  CancelToken cancel;
};

class EmbedService final : public Service {
 public:
  EmbedService(const RunnerOptions& options, std::unique_ptr<EmbedEngine> engine)
      : options_(options),
        engine_(std::move(engine)),
        interactive_({.name = "interactive", .threads = 1, .queue_limit = kInteractiveQueue}),
        requests_({.name = "requests", .threads = 2, .queue_limit = kBackgroundQueue}),
        background_(options.threads, kBackgroundQueue) {}

  Status warm_up() {
    std::vector<std::int32_t> ids;
    std::vector<float> out(engine_->dimensions());
    for (std::size_t length = 3; length <= kWarmTokensMax; ++length) {
      ids.assign(length, 0);
      const auto* text = &ids;
      KNAP_CHECK_OK(engine_->run({&text, 1}, out, Lane::kInteractive));
    }
    // Several are one row, whose length is all that counts: each that up to eight queries make.
    ids.assign(kPackedStep, 0);
    std::vector<const std::vector<std::int32_t>*> texts(1, &ids);
    while (texts.size() * kPackedStep < kWarmTogether * kWarmTokensEach) {
      texts.push_back(&ids);
      out.resize(texts.size() * engine_->dimensions());
      KNAP_CHECK_OK(engine_->run(texts, out, Lane::kInteractive));
    }
    return {};
  }

  bool handle(const std::shared_ptr<const http::Request>& request,
              const std::shared_ptr<http::Responder>& responder) override {
    if (request->method != "POST" || request->path != "/v1/embeddings") return false;
    const bool large = request->body.size() > kLargeBodyBytes;
    submit(large ? requests_ : interactive_, responder,
           [this, request, responder, large] { receive(request, responder, large); });
    return true;
  }

  std::string stats() const override {
    json::object result;
    result["role"] = "embed";
    result["model"] = options_.model;
    result["precision"] = to_string(options_.precision);
    result["dimensions"] = engine_->dimensions();
    result["texts"] = texts_.load();
    result["tokens"] = tokens_.load();
    result["queued_interactive"] = interactive_.queued();
    result["queued_background"] = requests_.queued();
    result["background_insists"] = background_.insists();
    return json_text(result);
  }

 private:
  static void submit(ThreadPool& pool, const std::shared_ptr<http::Responder>& responder,
                     std::function<void()> task) {
    if (pool.submit(std::move(task))) return;
    responder->send(
        error_response(make_error(ErrorCode::kUnavailable, "too many requests wait; try again")));
  }

  void receive(const std::shared_ptr<const http::Request>& request,
               const std::shared_ptr<http::Responder>& responder, bool large) {
    auto parsed = parse_request(request->body);
    if (!parsed) return responder->send(error_response(parsed.error()));
    auto work = std::make_shared<EmbedRequest>(*std::move(parsed));
    if (work->lane == Lane::kBackground && !large) {
      return submit(requests_, responder,
                    [this, request, responder, work] { answer(*request, responder, *work); });
    }
    answer(*request, responder, *work);
  }

  void answer(const http::Request& request, const std::shared_ptr<http::Responder>& responder,
              const EmbedRequest& work) {
    Job job;
    job.cancel = request.cancel;
    std::vector<std::size_t> lengths;
    std::uint64_t tokens = 0;
    for (const std::string& text : work.texts) {
      job.ids.push_back(engine_->tokenize(text));
      lengths.push_back(job.ids.back().size());
      tokens += lengths.back();
    }
    job.batches = make_batches(lengths, kStepTokens);
    job.values.resize(work.texts.size() * engine_->dimensions());
    // Two background requests at most are in work at a time (the threads of requests_), so the
    // queue of steps stays short.
    const Status status = work.lane == Lane::kInteractive
                              ? run_here(job)
                              : background_.run(job.batches.size(), [&](std::size_t i) {
                                  return run_step(job, i, Lane::kBackground);
                                });
    if (!status) return responder->send(error_response(status.error()));
    texts_ += work.texts.size();
    tokens_ += tokens;
    responder->send(http::Response::json(
        200, make_answer(work, job.values, engine_->dimensions(), tokens, options_.model)));
  }

  Status run_here(Job& job) {
    for (std::size_t i = 0; i < job.batches.size(); ++i)
      KNAP_CHECK_OK(run_step(job, i, Lane::kInteractive));
    return {};
  }

  Status run_step(Job& job, std::size_t batch, Lane lane) {
    KNAP_CHECK_OK(still_wanted(job.cancel, Deadline::never()));
    std::vector<const std::vector<std::int32_t>*> texts;
    for (const std::size_t index : job.batches[batch]) texts.push_back(&job.ids[index]);
    const std::size_t dimensions = engine_->dimensions();
    std::vector<float> rows(texts.size() * dimensions);
    KNAP_CHECK_OK(engine_->run(texts, rows, lane));
    for (std::size_t i = 0; i < texts.size(); ++i) {
      std::copy_n(rows.data() + i * dimensions, dimensions,
                  job.values.data() + job.batches[batch][i] * dimensions);
    }
    return {};
  }

  const RunnerOptions options_;
  const std::unique_ptr<EmbedEngine> engine_;
  std::atomic<std::uint64_t> texts_ = 0, tokens_ = 0;
  ThreadPool interactive_;   ///< Queries, in order.
  ThreadPool requests_;      ///< Parse, tokenize and answer background requests.
  SpareThreads background_;  ///< Compute their steps.
};

}  // namespace

Result<std::unique_ptr<Service>> open_embed_service(const RunnerOptions& options) {
  KNAP_TRY(auto engine,
           EmbedEngine::open(
               {.model_dir = options.model_dir,
                .max_tokens = options.max_tokens,
                .precision = options.precision,
                .streams = options.threads,
                .interactive_threads = std::min<std::size_t>(options.threads, kQueryThreads),
                .output = options.first_token ? Output::kFirst : Output::kMean}));
  auto service = std::make_unique<EmbedService>(options, std::move(engine));
  KNAP_CHECK_OK(service->warm_up());
  return std::unique_ptr<Service>(std::move(service));
}

}  // namespace knap::models::runner
