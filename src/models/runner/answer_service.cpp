#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/json.hpp>
#include <chrono>

#include "knap/base/json_text.hpp"
#include "knap/base/thread_pool.hpp"
#include "runner/answer_engine.hpp"
#include "runner/chat_request.hpp"
#include "runner/service.hpp"

namespace knap::models::runner {
namespace {

namespace json = boost::json;

// Waiting answers; each takes seconds, so more would only wait past their deadlines.
constexpr std::size_t kQueueLimit = 16;

json::object usage_of(const AnswerEngine::Outcome& outcome) {
  json::object usage;
  usage["prompt_tokens"] = outcome.prompt_tokens;
  usage["completion_tokens"] = outcome.completion_tokens;
  usage["total_tokens"] = outcome.prompt_tokens + outcome.completion_tokens;
  usage["prompt_tokens_details"] = json::object{{"cached_tokens", outcome.reused_tokens}};
  return usage;
}

/// Writes one answer as a stream of chunks or as one object. The head goes out with the first text,
/// so that an error before it still has its status.
class Answer {
 public:
  Answer(std::string model, std::uint64_t number, bool stream,
         std::shared_ptr<http::Responder> responder)
      : model_(std::move(model)),
        id_(fmt::format("chatcmpl-{}", number)),
        created_(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())),
        stream_(stream),
        responder_(std::move(responder)) {}

  /// @param so_far  told with the text when the client asked for usage all along
  bool add(std::string_view text, const json::object* so_far) {
    if (!stream_) {
      text_ += text;
      return true;
    }
    return begin() && send_chunk(json::object{{"content", text}}, nullptr, so_far);
  }

  void finish(const AnswerEngine::Outcome& outcome, bool include_usage) {
    if (!stream_) return send_whole(outcome);
    const json::object usage = usage_of(outcome);
    if (!begin() || !send_chunk(json::object{}, outcome.finish_reason.c_str(), nullptr)) return;
    if (include_usage && !send_chunk(std::nullopt, nullptr, &usage)) return;
    if (responder_->write("data: [DONE]\n\n")) responder_->end();
  }

  void fail(const Error& error) {
    if (!begun_) return responder_->send(error_response(error));
    // A client that has gone is told nothing; one that is there reads the error as an event.
    if (responder_->write(fmt::format("data: {}\n\n", error_response(error).body)))
      responder_->end();
  }

 private:
  bool begin() {
    if (begun_) return true;
    begun_ = true;
    http::Response head;
    head.fields.set("Content-Type", "text/event-stream");
    head.fields.set("Cache-Control", "no-store");
    responder_->begin(std::move(head));
    return send_chunk(json::object{{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
  }

  json::object envelope(const char* kind) const {
    return {{"id", id_}, {"object", kind}, {"created", created_}, {"model", model_}};
  }

  bool send_chunk(std::optional<json::object> delta, const char* finish_reason,
                  const json::object* usage) {
    json::object chunk = envelope("chat.completion.chunk");
    json::array choices;
    if (delta) {
      json::object choice{{"index", 0}, {"delta", *std::move(delta)}, {"finish_reason", nullptr}};
      if (finish_reason != nullptr) choice["finish_reason"] = finish_reason;
      choices.push_back(std::move(choice));
    }
    chunk["choices"] = std::move(choices);
    if (usage != nullptr) chunk["usage"] = *usage;
    return responder_->write(fmt::format("data: {}\n\n", json_text(chunk))).has_value();
  }

  void send_whole(const AnswerEngine::Outcome& outcome) {
    json::object body = envelope("chat.completion");
    json::object choice{{"index", 0}, {"finish_reason", outcome.finish_reason}};
    choice["message"] = json::object{{"role", "assistant"}, {"content", text_}};
    body["choices"] = json::array{std::move(choice)};
    body["usage"] = usage_of(outcome);
    responder_->send(http::Response::json(200, json_text(body)));
  }

  const std::string model_, id_;
  const std::int64_t created_;
  const bool stream_;
  const std::shared_ptr<http::Responder> responder_;
  bool begun_ = false;
  std::string text_;
};

class AnswerService final : public Service {
 public:
  AnswerService(const RunnerOptions& options, std::unique_ptr<AnswerEngine> engine)
      : options_(options),
        engine_(std::move(engine)),
        pool_({.name = "answers", .threads = 1, .queue_limit = kQueueLimit}) {}

  bool handle(const std::shared_ptr<const http::Request>& request,
              const std::shared_ptr<http::Responder>& responder) override {
    if (request->method != "POST" || request->path != "/v1/chat/completions") return false;
    auto parsed = parse_chat_request(request->body);
    if (!parsed) {
      responder->send(error_response(parsed.error()));
      return true;
    }
    const Deadline deadline =
        parsed->deadline ? Deadline::at(request->received + *parsed->deadline) : Deadline::never();
    auto work = std::make_shared<ChatRequest>(*std::move(parsed));
    const auto queued = pool_.submit(
        [this, request, responder, work, deadline] { run(*request, responder, *work, deadline); });
    if (!queued)
      responder->send(
          error_response(make_error(ErrorCode::kUnavailable, "too many answers wait; try again")));
    return true;
  }

  std::string stats() const override {
    json::object result;
    result["role"] = "answer";
    result["model"] = options_.model;
    result["description"] = engine_->description();
    result["context"] = engine_->context();
    result["queued"] = pool_.queued();
    result["prompt_tokens"] = prompt_tokens_.load();
    result["reused_tokens"] = reused_tokens_.load();
    result["prompt_us"] = prompt_us_.load();
    result["completion_tokens"] = completion_tokens_.load();
    result["generation_us"] = generation_us_.load();
    return json_text(result);
  }

 private:
  void run(const http::Request& request, const std::shared_ptr<http::Responder>& responder,
           const ChatRequest& work, Deadline deadline) {
    Answer answer(options_.model, ++answers_, work.stream, responder);
    // It may have waited: not begun when nobody wants it any more.
    if (const auto wanted = still_wanted(request.cancel, deadline); !wanted)
      return answer.fail(wanted.error());
    const auto outcome =
        engine_->generate(work.work, deadline, request.cancel,
                          [&](std::string_view text, const AnswerEngine::Outcome& so_far) {
                            if (!work.running_usage) return answer.add(text, nullptr);
                            const json::object usage = usage_of(so_far);
                            return answer.add(text, &usage);
                          });
    if (!outcome) return answer.fail(outcome.error());
    prompt_tokens_ += outcome->prompt_tokens;
    reused_tokens_ += outcome->reused_tokens;
    completion_tokens_ += outcome->completion_tokens;
    prompt_us_ += static_cast<std::uint64_t>(outcome->prompt_time.count());
    generation_us_ += static_cast<std::uint64_t>(outcome->generation_time.count());
    answer.finish(*outcome, work.include_usage);
  }

  const RunnerOptions options_;
  const std::unique_ptr<AnswerEngine> engine_;
  std::atomic<std::uint64_t> answers_ = 0, prompt_tokens_ = 0, reused_tokens_ = 0,
                             completion_tokens_ = 0, prompt_us_ = 0, generation_us_ = 0;
  ThreadPool pool_;
};

}  // namespace

Result<std::unique_ptr<Service>> open_answer_service(const RunnerOptions& options) {
  KNAP_TRY(auto engine, AnswerEngine::open({.model_file = options.model_file,
                                            .context = options.context,
                                            .threads = options.threads}));
  return std::unique_ptr<Service>(std::make_unique<AnswerService>(options, std::move(engine)));
}

}  // namespace knap::models::runner
