#include "chat_generator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <charconv>
#include <optional>

#include "answer_stream.hpp"
#include "knap/base/json_text.hpp"
#include "knap/base/mutex.hpp"
#include "knap/base/text.hpp"
#include "knap/observe/trace.hpp"
#include "remote_error.hpp"

namespace knap::models {
namespace {

namespace json = boost::json;

constexpr std::size_t kMessagesMax = 200;
constexpr std::array<const char*, 3> kPriorities{"interactive", "search", "background"};
// The runner keeps the deadline itself and answers with what it has; the connection waits this much
// longer for that.
constexpr std::chrono::milliseconds kDeadlineGrace{500};

std::string valid_text(std::string text) {
  return text::is_valid_utf8(text) ? std::move(text) : text::repair_utf8(text);
}

std::uint64_t number_of(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  boost::system::error_code error;
  const auto number = value == nullptr ? 0 : value->to_number<std::uint64_t>(error);
  return error ? 0 : number;
}

json::array parts_of(const ChatMessage& message) {
  json::array parts;
  for (const ChatPart& part : message.parts) {
    json::object object{{"type", "text"}, {"text", valid_text(part.text)}};
    if (!part.known.empty()) {
      object["known"] = valid_text(part.known);
      if (!part.lead.empty()) object["lead"] = valid_text(part.lead);
    }
    parts.push_back(std::move(object));
  }
  return parts;
}

// What was JSON when it came stays as it was.
void put_json(json::object& body, const char* name, const std::string& text) {
  if (text.empty()) return;
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  if (!error) body[name] = std::move(value);
}

// OpenAI's response_format as Ollama's format: "json" or a schema.
void put_ollama_format(json::object& body, const std::string& format) {
  boost::system::error_code error;
  const json::value value = json::parse(format, error);
  if (format.empty() || error || !value.is_object()) return;
  const json::object& object = value.get_object();
  if (const auto* schema = object.if_contains("json_schema");
      schema != nullptr && schema->is_object()) {
    if (const auto* inner = schema->get_object().if_contains("schema"); inner != nullptr)
      body["format"] = *inner;
  } else if (const auto* type = object.if_contains("type");
             type != nullptr && *type == "json_object") {
    body["format"] = "json";
  }
}

// OpenAI writes a call's arguments as text, Ollama as an object.
void put_ollama_calls(json::object& message, const std::string& calls) {
  boost::system::error_code error;
  json::value value = json::parse(calls, error);
  if (calls.empty() || error || !value.is_array()) return;
  for (json::value& call : value.get_array()) {
    if (!call.is_object()) continue;
    auto* function = call.get_object().if_contains("function");
    if (function == nullptr || !function->is_object()) continue;
    auto* arguments = function->get_object().if_contains("arguments");
    if (arguments == nullptr || !arguments->is_string()) continue;
    json::value parsed = json::parse(std::string_view(arguments->get_string()), error);
    *arguments = error ? json::value(json::object{}) : std::move(parsed);
  }
  message["tool_calls"] = std::move(value);
}

// In seconds; the form with a date is not used by such servers.
std::optional<std::chrono::seconds> retry_after(const http::Response& response) {
  const auto text = response.fields.get("Retry-After");
  if (!text) return std::nullopt;
  std::uint32_t seconds = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), seconds);
  if (error != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return std::chrono::seconds(seconds);
}

class ChatGenerator final : public Generator {
 public:
  ChatGenerator(ChatTarget target, observe::Registry& metrics)
      : target_(std::move(target)),
        first_token_(metrics.histogram("knap_models_first_token_seconds",
                                       "Time to a model's first token", {{"model", target_.id}})),
        generate_(metrics.histogram("knap_models_generate_seconds", "Time of one whole answer",
                                    {{"model", target_.id}})),
        rate_(metrics.histogram("knap_models_tokens_per_second",
                                "Tokens a second that one answer was written at",
                                {{"model", target_.id}}, observe::Scale::kRate)),
        queue_(metrics.gauge("knap_models_queue_length",
                             "Answers that were asked for and have no token yet",
                             {{"model", target_.id}})),
        prompt_tokens_(metrics.counter("knap_models_prompt_tokens_total",
                                       "Prompt tokens sent to answer models")),
        generated_tokens_(metrics.counter("knap_models_generated_tokens_total",
                                          "Tokens that answer models wrote")),
        failures_(metrics.counter("knap_models_generate_failures_total", "Answers that failed")) {}

  std::string id() const override { return target_.id; }
  std::uint32_t context_tokens() const override { return target_.context; }
  GeneratorSpeed speed() const override {
    MutexLock lock(mutex_);
    return speed_;
  }

  Result<Hold> load(Deadline deadline, const CancelToken& cancel) override {
    KNAP_TRY(auto connection, target_.connect(nullptr, deadline, cancel));
    return std::move(connection.hold);
  }

  Result<ReadAhead> read_ahead(const std::vector<std::string>& passages, std::uint32_t threads,
                               Deadline deadline, const CancelToken& cancel) override {
    json::object body{{"texts", json::array()}, {"priority", "background"}};
    for (const std::string& passage : passages)
      body["texts"].as_array().emplace_back(valid_text(passage));
    if (threads > 0) body["threads"] = threads;
    if (!deadline.is_never()) body["deadline_ms"] = deadline.remaining_ms().count();
    KNAP_TRY(const json::object done,
             call("POST", target_.passages_path, json_text(body), deadline, cancel));
    return ReadAhead{.read = number_of(done, "read"),
                     .held = number_of(done, "held"),
                     .failed = number_of(done, "failed"),
                     .tokens = number_of(done, "tokens")};
  }

  Result<ReadAheadFigures> read_ahead_figures(Deadline deadline) override {
    KNAP_TRY(const json::object stats, call("GET", target_.stats_path, {}, deadline, {}));
    const auto* figures = stats.if_contains("passages");
    if (figures == nullptr || !figures->is_object())
      return make_error(ErrorCode::kUnsupported, "this model reads nothing ahead");
    const json::object& of = figures->get_object();
    return ReadAheadFigures{.hits = number_of(of, "hits"),
                            .misses = number_of(of, "misses"),
                            .saved_tokens = number_of(of, "saved_tokens"),
                            .held = number_of(of, "held"),
                            .memory_bytes = number_of(of, "memory_bytes"),
                            .on_disk = number_of(of, "on_disk"),
                            .disk_bytes = number_of(of, "disk_bytes")};
  }

  Result<GenerateResult> generate(const GenerateRequest& request, Deadline deadline,
                                  const CancelToken& cancel,
                                  const std::function<bool(std::string_view)>& on_token) override {
    auto result = run(request, deadline, cancel, on_token);
    if (!result) {
      failures_.add();
    } else {
      prompt_tokens_.add(result->prompt_tokens);
      generated_tokens_.add(result->completion_tokens);
    }
    return result;
  }

 private:
  // A small request to a runner that is loaded.
  Result<json::object> call(const char* method, const std::string& path, std::string body,
                            Deadline deadline, const CancelToken& cancel) {
    if (path.empty() || !target_.connect_loaded)
      return make_error(ErrorCode::kUnsupported, "this model reads nothing ahead");
    KNAP_TRY(const ChatTarget::Connection connection, target_.connect_loaded());
    http::ClientRequest request;
    request.method = method;
    request.path = path;
    request.fields.set("Content-Type", "application/json");
    request.body = std::move(body);
    const Deadline patience =
        deadline.is_never() ? deadline : Deadline::at(deadline.point() + kDeadlineGrace);
    auto response = connection.client->call(request, patience, cancel);
    if (!response) return connection_error(std::move(response).error(), target_.id);
    if (response->status >= 400) return remote_error(response->status, response->body, target_.id);
    boost::system::error_code error;
    const json::value root = json::parse(response->body, error);
    if (error || !root.is_object())
      return make_error(ErrorCode::kCorruptData, "the model's answer is no JSON object");
    return root.get_object();
  }

  Result<GenerateResult> run(const GenerateRequest& request, Deadline deadline,
                             const CancelToken& cancel,
                             const std::function<bool(std::string_view)>& on_token) {
    if (request.messages.empty() || request.messages.size() > kMessagesMax) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("1 to {} messages are taken", kMessagesMax));
    }
    KNAP_CHECK_OK(still_wanted(cancel, deadline));
    KNAP_TRY(const ChatTarget::Connection connection,
             target_.connect(request.hold, deadline, cancel));
    http::ClientRequest call;
    call.method = "POST";
    call.path = target_.path;
    call.fields.set("Content-Type", "application/json");
    call.fields.set("Accept", "text/event-stream");
    if (!target_.key.empty()) call.fields.set("Authorization", "Bearer " + target_.key);
    call.body = target_.shape == ChatShape::kOllama ? make_ollama_body(request)
                                                    : make_body(request, deadline);

    const auto begin = SteadyClock::now();
    observe::Occupied queued(queue_);
    const std::function<bool(std::string_view)> listener = [&](std::string_view token) {
      queued.leave();
      return !on_token || on_token(token);
    };
    AnswerStream stream(target_.shape, begin, request, listener);
    const Deadline patience =
        deadline.is_never() ? deadline : Deadline::at(deadline.point() + kDeadlineGrace);
    auto response = connection.client->stream(
        call, patience, cancel, [&](std::string_view bytes) { return stream.feed(bytes); });
    return finish(std::move(response), stream, begin, deadline, cancel, connection);
  }

  Result<GenerateResult> finish(Result<http::Response> response, AnswerStream& stream,
                                SteadyClock::time_point begin, Deadline deadline,
                                const CancelToken& cancel,
                                const ChatTarget::Connection& connection) {
    if (response && response->status >= 400) {
      if (const auto wait = retry_after(*response); wait && target_.on_retry_after)
        target_.on_retry_after(*wait);
      return remote_error(response->status, response->body.empty() ? stream.raw() : response->body,
                          target_.id);
    }
    GenerateResult& result = stream.result;
    if (stream.stopped()) {
      result.finish_reason = "cancelled";
    } else if (cancel.cancelled()) {
      return make_error(ErrorCode::kCancelled, "the caller has gone");
    } else if (stream.failure()) {
      return *stream.failure();
    } else if (!stream.finished()) {
      // Text produced before the deadline is an answer that was cut; a stream that just ends is a
      // model that died.
      if (!deadline.expired()) {
        if (connection.on_broken) connection.on_broken();
        if (!response) return connection_error(std::move(response).error(), target_.id);
        return make_error(ErrorCode::kUnavailable,
                          fmt::format("model {} stopped while answering; try again", target_.id));
      }
      if (result.text.empty()) {
        return make_error(ErrorCode::kDeadlineExceeded,
                          fmt::format("model {} wrote nothing in time", target_.id));
      }
      result.finish_reason = "length";
    }
    const auto took = SteadyClock::now() - begin;
    generate_.record(took);
    observe::trace_stage("model.first_token", begin, result.first_token, target_.id);
    observe::trace_stage("model.generate", begin, took, target_.id);
    if (!result.text.empty()) {
      first_token_.record(result.first_token);
      const std::chrono::duration<double> writing = took - result.first_token;
      // The first token is what the prompt took.
      if (result.completion_tokens > 1 && writing.count() > 0) {
        rate_.record_rate(static_cast<double>(result.completion_tokens - 1) / writing.count());
      }
      learn_speed(result, writing.count());
    }
    return std::move(result);
  }

  void learn_speed(const GenerateResult& result, double writing_s) {
    constexpr double kNewest = 0.3;  // weight of the newest answer in the running mean
    const auto blend = [](double& mean, double amount, double seconds) {
      if (amount <= 0 || seconds <= 0) return;
      const double rate = amount / seconds;
      mean = mean > 0 ? mean + kNewest * (rate - mean) : rate;
    };
    MutexLock lock(mutex_);
    blend(speed_.read_per_second, static_cast<double>(result.prompt_tokens),
          std::chrono::duration<double>(result.first_token).count());
    if (result.completion_tokens > 1)
      blend(speed_.write_per_second, static_cast<double>(result.completion_tokens - 1), writing_s);
  }

  // What Ollama's own route takes; log probabilities and a choice of tools it does not know.
  std::string make_ollama_body(const GenerateRequest& request) const {
    json::array messages;
    for (const ChatMessage& message : request.messages) {
      json::object item;
      item["role"] = message.role;
      item["content"] = valid_text(text_of(message));
      put_ollama_calls(item, message.tool_calls);
      messages.push_back(std::move(item));
    }
    json::object options{{"num_predict", request.max_tokens},
                         {"temperature", request.temperature},
                         {"top_p", request.top_p},
                         {"num_ctx", target_.context}};
    if (request.seed) options["seed"] = *request.seed & 0x7FFFFFFFU;
    if (!request.stop.empty()) options["stop"] = json::value_from(request.stop);
    json::object body{{"model", target_.model},
                      {"messages", std::move(messages)},
                      {"options", std::move(options)},
                      {"stream", true}};
    put_ollama_format(body, request.response_format);
    put_json(body, "tools", request.tools);
    return json_text(body);
  }

  std::string make_body(const GenerateRequest& request, Deadline deadline) const {
    json::array messages;
    for (const ChatMessage& message : request.messages) {
      json::object item;
      item["role"] = message.role;
      if (target_.local && !message.parts.empty()) {
        item["content"] = parts_of(message);
      } else {
        item["content"] = valid_text(text_of(message));
      }
      put_json(item, "tool_calls", message.tool_calls);
      if (!message.tool_call_id.empty()) item["tool_call_id"] = message.tool_call_id;
      messages.push_back(std::move(item));
    }
    json::object body;
    body["model"] = target_.model;
    body["messages"] = std::move(messages);
    body["max_tokens"] = request.max_tokens;
    body["temperature"] = request.temperature;
    body["top_p"] = request.top_p;
    if (request.seed) body["seed"] = *request.seed & 0x7FFFFFFFU;
    if (!request.stop.empty()) body["stop"] = json::value_from(request.stop);
    put_json(body, "response_format", request.response_format);
    put_json(body, "tools", request.tools);
    if (!request.tools.empty()) {
      put_json(body, "tool_choice", request.tool_choice);
      if (!request.parallel_tool_calls) body["parallel_tool_calls"] = false;
    }
    if (request.top_logprobs) {
      body["logprobs"] = true;
      body["top_logprobs"] = *request.top_logprobs;
    }
    body["stream"] = true;
    body["stream_options"] = json::object{{"include_usage", true}};
    if (target_.local) {
      // An answer is often stopped as soon as it is whole: its cost is known all the same.
      body["stream_options"].as_object()["continuous_usage_stats"] = true;
      if (!deadline.is_never()) body["deadline_ms"] = deadline.remaining_ms().count();
      const std::size_t threads = request.threads > 0 ? request.threads : target_.threads;
      if (threads > 0) body["threads"] = std::max<std::size_t>(threads / target_.runners, 1);
      body["priority"] = kPriorities[static_cast<std::size_t>(request.priority)];
      if (!request.tenant.empty()) body["tenant"] = request.tenant;
    }
    return json_text(body);
  }

  const ChatTarget target_;
  mutable Mutex mutex_;
  GeneratorSpeed speed_ KNAP_GUARDED_BY(mutex_);
  observe::Histogram& first_token_;
  observe::Histogram& generate_;
  observe::Histogram& rate_;
  observe::Gauge& queue_;
  observe::Counter& prompt_tokens_;
  observe::Counter& generated_tokens_;
  observe::Counter& failures_;
};

}  // namespace

std::string text_of(const ChatMessage& message) {
  if (message.parts.empty()) return message.content;
  std::string text;
  for (const ChatPart& part : message.parts) text += part.text;
  return text;
}

std::shared_ptr<Generator> make_chat_generator(ChatTarget target, observe::Registry& metrics) {
  return std::make_shared<ChatGenerator>(std::move(target), metrics);
}

}  // namespace knap::models
