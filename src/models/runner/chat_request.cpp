#include "runner/chat_request.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>

#include "runner/response_format.hpp"

namespace knap::models::runner {
namespace {

namespace json = boost::json;

constexpr std::size_t kMessagesMax = 200;
constexpr std::size_t kPartsMax = 1'000;
constexpr std::size_t kStopsMax = 16;
constexpr std::size_t kStopBytesMax = 256;
constexpr std::int64_t kThreadsMax = 1'024;
constexpr std::int64_t kTokensMax = 1'048'576;
constexpr std::int64_t kDeadlineMaxMs = 86'400'000;
constexpr std::size_t kTenantBytesMax = 128;
constexpr std::int64_t kTopLogprobsMax = 20;
constexpr std::array<std::string_view, 4> kRoles{"system", "user", "assistant", "tool"};
constexpr std::array<std::string_view, 3> kUrgencies{"interactive", "search", "background"};

Error wrong(std::string message) {
  return make_error(ErrorCode::kInvalidArgument, std::move(message));
}

// Absent and null leave `value` as it is.
Status read_integer(const json::object& body, std::string_view key, std::int64_t min,
                    std::int64_t max, std::int64_t& value) {
  const auto* field = body.if_contains(key);
  if (field == nullptr || field->is_null()) return {};
  boost::system::error_code error;
  const auto number = field->to_number<std::int64_t>(error);
  if (error || number < min || number > max)
    return wrong(fmt::format("'{}' must be a whole number from {} to {}", key, min, max));
  value = number;
  return {};
}

Status read_float(const json::object& body, std::string_view key, double min, double max,
                  float& value) {
  const auto* field = body.if_contains(key);
  if (field == nullptr || field->is_null()) return {};
  boost::system::error_code error;
  const auto number = field->to_number<double>(error);
  if (error || !(number >= min && number <= max))
    return wrong(fmt::format("'{}' must be a number from {} to {}", key, min, max));
  value = static_cast<float>(number);
  return {};
}

bool read_flag(const json::object& body, std::string_view key) {
  const auto* field = body.if_contains(key);
  return field != nullptr && field->is_bool() && field->get_bool();
}

Result<std::string> read_part_text(const json::object& part, std::string_view key) {
  const auto* field = part.if_contains(key);
  if (field == nullptr) return std::string();
  if (!field->is_string()) return wrong(fmt::format("'{}' of a part must be text", key));
  return std::string(field->get_string());
}

// A text, or OpenAI's list of parts, of which the texts are taken; `parts` only where one of them
// has something that may be known.
Result<std::string> read_content(const json::value* content, std::vector<MessagePart>& parts) {
  if (content != nullptr && content->is_string()) return std::string(content->get_string());
  if (content == nullptr || !content->is_array())
    return wrong("'content' of a message must be text");
  std::string text;
  bool any_known = false;
  for (const json::value& each : content->get_array()) {
    const auto* object = each.if_object();
    const auto* piece = object == nullptr ? nullptr : object->if_contains("text");
    if (piece == nullptr || !piece->is_string()) return wrong("only text is taken in 'content'");
    MessagePart part;
    part.text = std::string(piece->get_string());
    KNAP_TRY(part.lead, read_part_text(*object, "lead"));
    KNAP_TRY(part.known, read_part_text(*object, "known"));
    text += part.text;
    any_known = any_known || !part.known.empty();
    if (parts.size() >= kPartsMax)
      return wrong(fmt::format("'content' has more than {} parts", kPartsMax));
    parts.push_back(std::move(part));
  }
  if (!any_known) parts.clear();
  return text;
}

bool is_tool_answer(const json::object& message) {
  const auto* role = message.if_contains("role");
  return role != nullptr && role->is_string() && role->get_string() == "tool";
}

Result<Message> read_message(const json::object& object) {
  const auto* role = object.if_contains("role");
  if (role == nullptr || !role->is_string()) return wrong("a message has no 'role'");
  std::string name(role->get_string());
  if (name == "developer") name = "system";
  if (std::ranges::find(kRoles, name) == kRoles.end())
    return wrong("'role' must be system, user, assistant or tool");
  const auto* calls = object.if_contains("tool_calls");
  const bool called = name == "assistant" && calls != nullptr && !calls->is_null();
  const auto* content = object.if_contains("content");
  std::string text;
  std::vector<MessagePart> parts;
  if (!called || (content != nullptr && !content->is_null())) {
    KNAP_TRY(text, read_content(content, parts));
  }
  if (called) {
    parts.clear();
    KNAP_TRY(text, calls_as_text(std::move(text), *calls));
  }
  if (name == "tool") return Message{"user", tool_answer_as_text(text)};
  return Message{std::move(name), std::move(text), std::move(parts)};
}

Status read_messages(const json::object& body, GenerationRequest& work) {
  const auto* messages = body.if_contains("messages");
  if (messages == nullptr || !messages->is_array() || messages->get_array().empty() ||
      messages->get_array().size() > kMessagesMax) {
    return wrong(fmt::format("'messages' must be a list of 1 to {} messages", kMessagesMax));
  }
  bool last_was_tool = false;
  for (const json::value& each : messages->get_array()) {
    const auto* object = each.if_object();
    if (object == nullptr) return wrong("a message has no 'role'");
    KNAP_TRY(Message message, read_message(*object));
    // The answers of several tools are one message to the model.
    const bool joined = is_tool_answer(*object) && !work.messages.empty() && last_was_tool;
    last_was_tool = is_tool_answer(*object);
    if (joined) {
      work.messages.back().content += "\n" + message.content;
    } else {
      work.messages.push_back(std::move(message));
    }
  }
  return {};
}

Status read_logprobs(const json::object& body, GenerationRequest& work) {
  if (!read_flag(body, "logprobs")) return {};
  std::int64_t top = 0;
  KNAP_CHECK_OK(read_integer(body, "top_logprobs", 0, kTopLogprobsMax, top));
  work.top_logprobs = static_cast<std::uint32_t>(top);
  return {};
}

Status read_stop(const json::object& body, GenerationRequest& work) {
  const auto* stop = body.if_contains("stop");
  if (stop == nullptr || stop->is_null()) return {};
  if (stop->is_string()) work.stop.emplace_back(stop->get_string());
  if (stop->is_array()) {
    for (const json::value& each : stop->get_array()) {
      if (!each.is_string() || work.stop.size() >= kStopsMax)
        return wrong(fmt::format("'stop' takes at most {} texts", kStopsMax));
      work.stop.emplace_back(each.get_string());
    }
  }
  for (const std::string& each : work.stop) {
    if (each.empty() || each.size() > kStopBytesMax)
      return wrong(fmt::format("each 'stop' has 1 to {} bytes", kStopBytesMax));
  }
  return {};
}

Status read_urgency(const json::object& body, Urgency& urgency) {
  const auto* field = body.if_contains("priority");
  if (field == nullptr || field->is_null()) return {};
  const auto* name = field->if_string();
  const auto found =
      name == nullptr ? kUrgencies.end() : std::ranges::find(kUrgencies, std::string_view(*name));
  if (found == kUrgencies.end())
    return wrong("'priority' must be interactive, search or background");
  urgency = static_cast<Urgency>(found - kUrgencies.begin());
  return {};
}

Status read_tenant(const json::object& body, GenerationRequest& work) {
  const auto* field = body.if_contains("tenant");
  if (field == nullptr || field->is_null()) return {};
  if (!field->is_string() || field->get_string().size() > kTenantBytesMax)
    return wrong(fmt::format("'tenant' must be a text of at most {} bytes", kTenantBytesMax));
  work.tenant = std::string(field->get_string());
  return {};
}

}  // namespace

Result<WorkTerms> read_work_terms(const json::object& body, Urgency usual) {
  WorkTerms terms{.urgency = usual, .threads = 0, .deadline = std::nullopt};
  KNAP_CHECK_OK(read_urgency(body, terms.urgency));
  std::int64_t threads = 0;
  std::int64_t deadline_ms = 0;
  KNAP_CHECK_OK(read_integer(body, "threads", 1, kThreadsMax, threads));
  KNAP_CHECK_OK(read_integer(body, "deadline_ms", 0, kDeadlineMaxMs, deadline_ms));
  terms.threads = static_cast<std::size_t>(threads);
  if (body.contains("deadline_ms")) terms.deadline = std::chrono::milliseconds(deadline_ms);
  return terms;
}

Result<ChatRequest> parse_chat_request(const std::string& text) {
  boost::system::error_code error;
  const json::value root = json::parse(text, error);
  if (error || !root.is_object()) return wrong("the body is not a JSON object");
  const json::object& body = root.get_object();
  ChatRequest request;
  KNAP_CHECK_OK(read_messages(body, request.work));
  KNAP_CHECK_OK(read_stop(body, request.work));
  KNAP_TRY(const WorkTerms terms, read_work_terms(body, Urgency::kInteractive));
  request.work.urgency = terms.urgency;
  request.work.threads = terms.threads;
  request.deadline = terms.deadline;
  KNAP_CHECK_OK(read_tenant(body, request.work));
  KNAP_CHECK_OK(read_logprobs(body, request.work));
  KNAP_CHECK_OK(read_response_format(body, request.work));
  KNAP_TRY(request.tools, read_tools(body, request.work));
  std::int64_t max_tokens = request.work.max_tokens;
  std::int64_t seed = -1;
  KNAP_CHECK_OK(read_integer(body, "max_tokens", 1, kTokensMax, max_tokens));
  KNAP_CHECK_OK(read_integer(body, "max_completion_tokens", 1, kTokensMax, max_tokens));
  KNAP_CHECK_OK(read_integer(body, "seed", 0, INT64_MAX, seed));
  KNAP_CHECK_OK(read_float(body, "temperature", 0, 2, request.work.temperature));
  KNAP_CHECK_OK(read_float(body, "top_p", 0, 1, request.work.top_p));
  request.work.max_tokens = static_cast<std::uint32_t>(max_tokens);
  if (seed >= 0) request.work.seed = static_cast<std::uint32_t>(seed);
  request.stream = read_flag(body, "stream");
  if (const auto* options = body.if_contains("stream_options");
      options != nullptr && options->is_object()) {
    request.include_usage = read_flag(options->get_object(), "include_usage");
    request.running_usage = read_flag(options->get_object(), "continuous_usage_stats");
  }
  return request;
}

}  // namespace knap::models::runner
