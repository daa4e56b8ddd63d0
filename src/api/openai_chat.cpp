#include "openai_chat.hpp"

#include "json_views.hpp"
#include "knap/base/json_text.hpp"
#include "knap/base/text.hpp"
#include "knap/speech/speech.hpp"
#include "knap/vault/parse.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

json::object usage_of(std::uint64_t prompt, std::uint64_t completion) {
  return {{"prompt_tokens", prompt},
          {"completion_tokens", completion},
          {"total_tokens", prompt + completion}};
}

json::object knap_part(const answer::Answer& answer) {
  return {{"citations", citation_list(answer.citations)},
          {"claims", claim_list(answer.claims)},
          {"refused", answer.refused},
          {"mode", answer.mode},
          {"degraded", text_list(answer.degraded)},
          {"cached", text_or_null(answer.cached)}};
}

/// One entry for each [n] of the text. Indices count Unicode characters, as OpenAI's do.
json::array annotations_of(const answer::Answer& answer) {
  json::array out;
  for (const answer::Citation& citation : answer.citations) {
    const std::string mark = "[" + std::to_string(citation.id) + "]";
    for (std::size_t at = answer.text.find(mark); at != std::string::npos;
         at = answer.text.find(mark, at + 1)) {
      const std::size_t begin = count_characters(std::string_view(answer.text).substr(0, at));
      out.push_back(json::object{
          {"type", "url_citation"},
          {"url_citation",
           json::object{{"start_index", begin},
                        {"end_index", begin + mark.size()},
                        {"url", obsidian_uri(citation.vault, citation.path, citation.place)},
                        {"title", citation.title}}}});
    }
  }
  return out;
}

struct Completion {
  std::string id;
  std::int64_t created = 0;
  std::string model;
};

Completion completion_of(const Call& call, const ChatBody& body) {
  return {"chatcmpl-" + call.id, unix_now(), body.model};
}

void append_logprobs(std::string_view list, json::array& out) {
  boost::system::error_code error;
  json::value parsed = json::parse(list, error);
  if (error || !parsed.is_array()) return;
  for (json::value& entry : parsed.get_array()) out.push_back(std::move(entry));
}

json::object logprobs_object(json::array& list) {
  return {{"content", std::exchange(list, {})}, {"refusal", nullptr}};
}

json::object call_object(const models::ToolCall& call) {
  return {{"id", call.id},
          {"type", "function"},
          {"function", json::object{{"name", call.name}, {"arguments", call.arguments}}}};
}

std::string_view finish_of(const models::GenerateResult& result) {
  if (!result.tool_calls.empty()) return "tool_calls";
  return result.finish_reason == "length" ? "length" : "stop";
}

json::object whole(const Completion& completion, json::object message, std::string_view finish,
                   json::object usage) {
  message["role"] = "assistant";
  message["refusal"] = nullptr;
  json::object choice{{"index", 0},
                      {"message", std::move(message)},
                      {"logprobs", nullptr},
                      {"finish_reason", finish}};
  return {{"id", completion.id},
          {"object", "chat.completion"},
          {"created", completion.created},
          {"model", completion.model},
          {"choices", json::array{std::move(choice)}},
          {"usage", std::move(usage)}};
}

/// A chat.completion.chunk stream in the making.
class ChunkStream {
 public:
  ChunkStream(const Context& context, const Call& call, const ChatBody& body)
      : completion_(completion_of(call, body)),
        include_usage_(body.include_usage),
        stream_(std::make_shared<EventStream>(call)) {
    context.heartbeat.watch(stream_);
  }

  bool text(std::string_view piece) {
    if (!send_role()) return false;
    return piece.empty() || chunk(json::object{{"content", piece}}, nullptr);
  }
  /// Of the tokens of the next piece: OpenAI's list.
  void logprobs(std::string_view list) { append_logprobs(list, logprobs_); }
  void calls(const std::vector<models::ToolCall>& calls) {
    send_role();
    for (std::size_t i = 0; i < calls.size(); ++i) {
      json::object call = call_object(calls[i]);
      call["index"] = i;
      chunk(json::object{{"tool_calls", json::array{std::move(call)}}}, nullptr);
    }
  }
  void finish(std::string_view reason, json::object usage, json::object extra = {}) {
    send_role();
    chunk({}, json::value(reason), std::move(extra));
    if (include_usage_) {
      json::object last = base();
      last["choices"] = json::array{};
      last["usage"] = std::move(usage);
      stream_->send("", json_text(last));
    }
    stream_->send("", "[DONE]");
    stream_->end();
  }
  /// Nothing when the stream has begun and has told the error itself.
  Outcome fail(const Problem& problem) {
    if (!stream_->begun()) {
      stream_->end();
      return refuse(problem);
    }
    stream_->send("", openai_error(problem).body);
    stream_->end();
    return std::nullopt;
  }

 private:
  json::object base() const {
    return {{"id", completion_.id},
            {"object", "chat.completion.chunk"},
            {"created", completion_.created},
            {"model", completion_.model}};
  }
  bool send_role() {
    if (std::exchange(role_sent_, true)) return true;
    return chunk(json::object{{"role", "assistant"}, {"content", ""}}, nullptr);
  }
  bool chunk(json::object delta, json::value finish, json::object extra = {}) {
    json::object out = base();
    json::object choice{{"index", 0}, {"delta", std::move(delta)}, {"logprobs", nullptr}};
    if (!logprobs_.empty() && role_told_) choice["logprobs"] = logprobs_object(logprobs_);
    role_told_ = true;
    choice["finish_reason"] = std::move(finish);
    out["choices"] = json::array{std::move(choice)};
    if (include_usage_) out["usage"] = nullptr;
    for (auto& field : extra) out[field.key()] = std::move(field.value());
    return stream_->send("", json_text(out));
  }

  const Completion completion_;
  const bool include_usage_;
  bool role_sent_ = false, role_told_ = false;
  json::array logprobs_;  ///< Not sent yet.
  const std::shared_ptr<EventStream> stream_;
};

bool holds(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

Checked<answer::AskRequest> to_question(const ChatBody& body, std::vector<std::string> vaults) {
  constexpr std::size_t kMaxQuestionCharacters = 4096;
  constexpr std::size_t kMaxHistory = 20;
  if (holds(body.request.response_format, "json")) {
    return refuse(wrong_field("response_format",
                              "the model 'knap' answers in its own form, with citations: ask a "
                              "plain model for JSON"));
  }
  if (holds(body.request.tool_choice, "required") || holds(body.request.tool_choice, "function")) {
    return refuse(
        wrong_field("tool_choice", "the model 'knap' calls no tools: ask a plain model for that"));
  }
  answer::AskRequest request;
  request.vaults = std::move(vaults);
  request.priority = body.request.priority;
  request.tenant = body.request.tenant;
  request.request_id = body.request.request_id;
  const auto& messages = body.request.messages;
  if (messages.back().role != "user" || text::trim(messages.back().content).empty()) {
    return refuse(wrong_field("messages", "the last message must be the user's question"));
  }
  request.question = messages.back().content;
  if (count_characters(request.question) > kMaxQuestionCharacters) {
    return refuse(wrong_field("messages", "the question has more than 4096 characters"));
  }
  for (std::size_t i = 0; i + 1 < messages.size(); ++i) {
    // System messages are meant for a model; the notes' own rules of answering stay as they are.
    // Nor are those of tools, which 'knap' does not call.
    if (messages[i].role == "system" || messages[i].role == "tool") continue;
    if (!messages[i].content.empty()) request.history.push_back(messages[i]);
  }
  if (request.history.size() > kMaxHistory) {
    request.history.erase(request.history.begin(), request.history.end() - kMaxHistory);
  }
  return request;
}

/// What follows the streamed tokens so that the whole text is right: the answer itself when nothing
/// was streamed, the checked wording when it differs from what was already sent.
std::string completing_text(const std::string& streamed, const answer::Answer& answer) {
  if (text::trim(streamed).empty()) return answer.text;
  if (text::trim(streamed) == text::trim(answer.text)) return {};
  return "\n\nChecked against the notes:\n\n" + answer.text;
}

Outcome stream_notes(const Context& context, Call& call, const ChatBody& body,
                     const answer::AskRequest& request, Deadline deadline) {
  ChunkStream chunks(context, call, body);
  std::string streamed;
  answer::Listener listener;
  listener.on_token = [&](std::string_view token) {
    streamed += token;
    return chunks.text(token);
  };
  const auto answer = context.answers.ask(request, deadline, call.cancel(), listener);
  if (!answer) return chunks.fail(to_problem(answer.error()));
  chunks.text(completing_text(streamed, *answer) + render_sources(*answer));
  chunks.finish("stop", usage_of(answer->prompt_tokens, answer->completion_tokens),
                json::object{{"knap", knap_part(*answer)}});
  return std::nullopt;
}

Problem generation_problem(const Error& error) {
  Problem problem = to_problem(error);
  if (error.code == ErrorCode::kResourceExhausted) {
    problem.status = 400;
    problem.code = "context_length_exceeded";
    problem.field = "messages";
  }
  return problem;
}

}  // namespace

std::string render_sources(const answer::Answer& answer) {
  if (answer.refused || answer.citations.empty()) return {};
  std::string out = "\n\nSources:";
  for (const answer::Citation& citation : answer.citations) {
    std::string title;
    for (const char c : citation.title) {
      if (c == '[' || c == ']' || c == '\\') title.push_back('\\');
      title.push_back(c == '\n' ? ' ' : c);
    }
    out += "\n[" + std::to_string(citation.id) + "] [" + title + "](" +
           obsidian_uri(citation.vault, citation.path, citation.place) + "), ";
    const vault::FileType type = vault::file_type(citation.path);
    if (citation.place > 0 && type == vault::FileType::kPdf) {
      out += "page " + std::to_string(citation.place);
      continue;
    }
    if (type == vault::FileType::kAudio) {
      out += "at " + speech::clock_time(std::chrono::seconds(citation.place));
      continue;
    }
    out += citation.lines.first == citation.lines.last
               ? "line " + std::to_string(citation.lines.first)
               : "lines " + std::to_string(citation.lines.first) + "-" +
                     std::to_string(citation.lines.last);
  }
  return out;
}

Outcome chat_with_notes(const Context& context, Call& call, const ChatBody& body,
                        std::vector<std::string> vaults) {
  const auto request = to_question(body, std::move(vaults));
  if (!request) return refuse(request.error());
  const Deadline deadline = call.deadline(body.deadline.value_or(kAskLimit));
  if (body.delivery == Delivery::kStream)
    return stream_notes(context, call, body, *request, deadline);
  const auto answer = context.answers.ask(*request, deadline, call.cancel(), {});
  if (!answer) return refuse(to_problem(answer.error()));
  json::object message{{"content", answer->text + render_sources(*answer)},
                       {"annotations", annotations_of(*answer)}};
  json::object out = whole(completion_of(call, body), std::move(message), "stop",
                           usage_of(answer->prompt_tokens, answer->completion_tokens));
  out["knap"] = knap_part(*answer);
  return json_response(200, out);
}

// The caller chose the model by its name. That is kept like a choice of the router's, so that it
// can be explained afterwards.
void keep_choice(const Context& context, const Call& call, const ChatBody& body,
                 Deadline deadline) {
  constexpr std::size_t kBytesPerToken = 4;  // about, in English
  std::size_t bytes = 0;
  for (const auto& message : body.request.messages) bytes += message.content.size();
  context.parts.models.route({.request_id = call.id,
                              .model = body.model,
                              .language = {},
                              .prompt_tokens = static_cast<std::uint32_t>(bytes / kBytesPerToken),
                              .answer_tokens = body.request.max_tokens,
                              .priority = body.request.priority,
                              .deadline = deadline});
}

void keep_outcome(const Context& context, const Call& call, const models::Generator& generator,
                  SteadyClock::time_point begin, const Result<models::GenerateResult>& result) {
  models::RouteAttempt attempt{.model = generator.id(), .outcome = "answered"};
  attempt.took = std::chrono::duration_cast<std::chrono::milliseconds>(SteadyClock::now() - begin);
  if (result) {
    attempt.prompt_tokens = result->prompt_tokens;
    attempt.completion_tokens = result->completion_tokens;
    attempt.tokens_estimated = result->tokens_estimated;
    attempt.cost = result->cost;
  } else {
    attempt.outcome = result.error().message;
  }
  context.parts.models.attempted(call.id, std::move(attempt));
}

Outcome chat_with_model(const Context& context, Call& call, const ChatBody& body,
                        models::Generator& generator) {
  const Deadline deadline = call.deadline(body.deadline.value_or(kChatLimit));
  keep_choice(context, call, body, deadline);
  // Loaded first: a model that loads computes little, and others may answer meanwhile.
  auto hold = generator.load(deadline, call.cancel());
  if (!hold) return refuse(generation_problem(hold.error()));
  // Leased like every generation, or it would fight with embedding and answers for the cores.
  Result<service::Lease> lease = service::Lease();
  if (!generator.remote())
    lease =
        context.parts.leases.acquire(service::Lane::kGeneration, context.parts.leases.usage().cores,
                                     deadline, call.cancel(), generator.id());
  if (!lease) return refuse(to_problem(lease.error()));
  models::GenerateRequest request = body.request;
  request.hold = *std::move(hold);
  request.threads = static_cast<std::uint32_t>(lease->threads());
  const auto begin = SteadyClock::now();
  if (body.delivery == Delivery::kStream) {
    ChunkStream chunks(context, call, body);
    request.on_logprobs = [&](std::string_view list) { chunks.logprobs(list); };
    const auto result =
        generator.generate(request, deadline, call.cancel(),
                           [&](std::string_view token) { return chunks.text(token); });
    keep_outcome(context, call, generator, begin, result);
    if (!result) return chunks.fail(generation_problem(result.error()));
    chunks.calls(result->tool_calls);
    chunks.finish(finish_of(*result), usage_of(result->prompt_tokens, result->completion_tokens));
    return std::nullopt;
  }
  json::array logprobs;
  request.on_logprobs = [&](std::string_view list) { append_logprobs(list, logprobs); };
  const auto result =
      generator.generate(request, deadline, call.cancel(), [](std::string_view) { return true; });
  keep_outcome(context, call, generator, begin, result);
  if (!result) return refuse(generation_problem(result.error()));
  json::object message{{"content", result->text}};
  if (!result->tool_calls.empty()) {
    if (result->text.empty()) message["content"] = nullptr;
    json::array calls;
    for (const models::ToolCall& each : result->tool_calls) calls.push_back(call_object(each));
    message["tool_calls"] = std::move(calls);
  }
  json::object out = whole(completion_of(call, body), std::move(message), finish_of(*result),
                           usage_of(result->prompt_tokens, result->completion_tokens));
  if (request.top_logprobs)
    out["choices"].at(0).as_object()["logprobs"] = logprobs_object(logprobs);
  return json_response(200, out);
}

}  // namespace knap::api
