#include "answer_stream.hpp"

#include <boost/json.hpp>

#include "knap/base/json_text.hpp"
#include "remote_error.hpp"

namespace knap::models {
namespace {

namespace json = boost::json;

constexpr std::size_t kErrorBytesMax = 64U << 10;
constexpr std::size_t kAnswerBytesMax = 4U << 20;
constexpr std::size_t kLineBytesMax = 4U << 20;
constexpr std::size_t kToolCallsMax = 64;

std::size_t add_text(const json::object& object, std::string_view name, std::string& out) {
  const auto* value = object.if_contains(name);
  if (value == nullptr || !value->is_string()) return 0;
  out += std::string_view(value->get_string());
  return value->get_string().size();
}

std::uint64_t count_in(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  return value != nullptr && value->is_int64() && value->get_int64() > 0
             ? static_cast<std::uint64_t>(value->get_int64())
             : 0;
}

}  // namespace

bool AnswerStream::fail(ErrorCode code, std::string message) {
  failure_ = make_error(code, std::move(message));
  return false;
}

bool AnswerStream::feed(std::string_view bytes) {
  // Error answers are no event streams: kept apart, cut at a limit.
  if (raw_.size() < kErrorBytesMax) raw_.append(bytes.substr(0, kErrorBytesMax - raw_.size()));
  const auto status =
      shape_ == ChatShape::kOllama
          ? feed_lines(bytes)
          : reader_.feed(bytes, [this](std::string_view data) { return event(data); });
  if (!status && !failure_ && !stopped_) failure_ = status.error();
  return status.has_value();
}

Status AnswerStream::feed_lines(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t end = bytes.find('\n');
    const std::string_view part = bytes.substr(0, end);
    if (rest_.size() + part.size() > kLineBytesMax)
      return make_error(ErrorCode::kResourceExhausted, "a line of the model's stream is too long");
    rest_.append(part);
    if (end == std::string_view::npos) return {};
    bytes.remove_prefix(end + 1);
    const std::string whole = std::exchange(rest_, {});
    const bool empty = whole.find_first_not_of(" \r\t") == std::string::npos;
    if (!empty && !line(whole))
      return make_error(ErrorCode::kCancelled, "the caller stopped the stream");
  }
  return {};
}

bool AnswerStream::line(std::string_view data) {
  boost::system::error_code error;
  const json::value root = json::parse(data, error);
  if (error || !root.is_object())
    return fail(ErrorCode::kCorruptData, "the model's stream holds a line that is no JSON");
  const json::object& object = root.get_object();
  if (const auto* failed = object.if_contains("error"); failed != nullptr) {
    constexpr int kServerFault = 500;
    failure_ = remote_error(kServerFault, data, "answering");
    return false;
  }
  if (const auto* message = object.if_contains("message");
      message != nullptr && message->is_object()) {
    const auto* calls = message->get_object().if_contains("tool_calls");
    if (calls != nullptr && calls->is_array() && !read_whole_calls(calls->get_array()))
      return false;
    const auto* content = message->get_object().if_contains("content");
    if (content != nullptr && content->is_string() && !take_piece(content->get_string()))
      return false;
  }
  const auto* done = object.if_contains("done");
  if (done == nullptr || !done->is_bool() || !done->get_bool()) return true;
  finished_ = true;
  result.finish_reason.clear();
  static_cast<void>(add_text(object, "done_reason", result.finish_reason));
  if (!result.tool_calls.empty()) result.finish_reason = "tool_calls";
  if (result.finish_reason != "length" && result.finish_reason != "tool_calls")
    result.finish_reason = "stop";
  result.prompt_tokens = count_in(object, "prompt_eval_count");
  result.completion_tokens = count_in(object, "eval_count");
  return true;
}

// Ollama gives whole calls, without ids and with arguments as an object.
bool AnswerStream::read_whole_calls(const json::array& calls) {
  for (const json::value& each : calls) {
    const auto* call = each.if_object();
    const auto* function = call == nullptr ? nullptr : call->if_contains("function");
    if (function == nullptr || !function->is_object() || result.tool_calls.size() >= kToolCallsMax)
      return fail(ErrorCode::kCorruptData, "the model's stream holds a wrong tool call");
    ToolCall out;
    out.id = "call_" + std::to_string(result.tool_calls.size());
    static_cast<void>(add_text(function->get_object(), "name", out.name));
    const auto* arguments = function->get_object().if_contains("arguments");
    out.arguments = arguments == nullptr ? "{}" : json_text(*arguments);
    result.tool_calls.push_back(std::move(out));
  }
  return true;
}

bool AnswerStream::event(std::string_view data) {
  if (data == "[DONE]") return true;
  boost::system::error_code error;
  const json::value root = json::parse(data, error);
  if (error || !root.is_object())
    return fail(ErrorCode::kCorruptData, "the model's stream holds an event that is no JSON");
  const json::object& object = root.get_object();
  if (const auto* failed = object.if_contains("error"); failed != nullptr && failed->is_object()) {
    const auto* status = failed->get_object().if_contains("status");
    failure_ = remote_error(
        status != nullptr && status->is_int64() ? static_cast<int>(status->get_int64()) : 500, data,
        "answering");
    return false;
  }
  read_usage(object);
  const auto* choices = object.if_contains("choices");
  if (choices == nullptr || !choices->is_array() || choices->get_array().empty()) return true;
  const auto* choice = choices->get_array().front().if_object();
  return choice == nullptr || read_choice(*choice);
}

bool AnswerStream::read_choice(const json::object& choice) {
  if (const auto* reason = choice.if_contains("finish_reason");
      reason != nullptr && reason->is_string()) {
    result.finish_reason = std::string(reason->get_string());
    finished_ = true;
  }
  read_logprobs(choice);
  const auto* delta = choice.if_contains("delta");
  if (delta == nullptr || !delta->is_object()) return true;
  if (const auto* calls = delta->get_object().if_contains("tool_calls");
      calls != nullptr && calls->is_array() && !read_calls(calls->get_array()))
    return false;
  const auto* content = delta->get_object().if_contains("content");
  return content == nullptr || !content->is_string() || take_piece(content->get_string());
}

bool AnswerStream::take_piece(std::string_view piece) {
  if (piece.empty()) return true;
  if (result.text.empty()) {
    result.first_token =
        std::chrono::duration_cast<std::chrono::milliseconds>(SteadyClock::now() - begin_);
  }
  if (result.text.size() + piece.size() > kAnswerBytesMax)
    return fail(ErrorCode::kResourceExhausted, "the model's answer is too long");
  result.text += piece;
  if (!on_token_ || on_token_(piece)) return true;
  stopped_ = true;
  return false;
}

void AnswerStream::read_logprobs(const json::object& choice) const {
  const auto* logprobs = choice.if_contains("logprobs");
  if (!request_.on_logprobs || logprobs == nullptr || !logprobs->is_object()) return;
  const auto* content = logprobs->get_object().if_contains("content");
  if (content != nullptr && content->is_array() && !content->get_array().empty())
    request_.on_logprobs(json_text(*content));
}

// Some servers send a call in pieces: its name first, then parts of its arguments.
bool AnswerStream::read_calls(const json::array& parts) {
  for (const json::value& part : parts) {
    const auto* object = part.if_object();
    if (object == nullptr) continue;
    const auto* index = object->if_contains("index");
    boost::system::error_code error;
    const auto at =
        index == nullptr ? result.tool_calls.size() : index->to_number<std::size_t>(error);
    if (error || at >= kToolCallsMax || at > result.tool_calls.size())
      return fail(ErrorCode::kCorruptData, "the model's stream holds a wrong tool call");
    if (at == result.tool_calls.size()) result.tool_calls.emplace_back();
    ToolCall& call = result.tool_calls[at];
    call_bytes_ += add_text(*object, "id", call.id);
    if (const auto* function = object->if_contains("function");
        function != nullptr && function->is_object()) {
      call_bytes_ += add_text(function->get_object(), "name", call.name);
      call_bytes_ += add_text(function->get_object(), "arguments", call.arguments);
    }
  }
  if (call_bytes_ <= kAnswerBytesMax) return true;
  return fail(ErrorCode::kResourceExhausted, "the model's tool calls are too long");
}

void AnswerStream::read_usage(const json::object& object) {
  const auto* usage = object.if_contains("usage");
  if (usage == nullptr || !usage->is_object()) return;
  result.prompt_tokens = count_in(usage->get_object(), "prompt_tokens");
  result.completion_tokens = count_in(usage->get_object(), "completion_tokens");
}

}  // namespace knap::models
