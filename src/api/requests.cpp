#include "requests.hpp"
#include "json_views.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include <fmt/format.h>

#include "caller.hpp"
#include "knap/base/hash.hpp"
#include "knap/base/json_text.hpp"
#include "knap/base/text.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;
using Need = BodyReader::Need;

constexpr BodyReader::TextLimits kQuestion{1, 4096};
constexpr BodyReader::TextLimits kName{1, 256};
constexpr BodyReader::TextLimits kFilter{0, 4096};
constexpr std::size_t kMaxVaults = 64;
constexpr std::size_t kMaxHistory = 100;
constexpr std::size_t kMaxChatMessages = 1000;
constexpr std::size_t kMaxMessageBytes = 1U << 20;
constexpr std::size_t kMaxStops = 4;
constexpr std::int64_t kMaxTopLogprobs = 20;
/// As OpenAI; handed to the model in parts of what it takes at once.
constexpr std::size_t kMaxEmbeddingInputs = 2048;
constexpr std::size_t kMaxEmbeddingCharacters = 1U << 20;
/// Longer than any level: a caller may have patience with a slow model, but not for ever.
constexpr std::int64_t kMaxDeadlineMs = 600'000;

constexpr std::array<std::string_view, 4> kSearchModes{"auto", "keyword", "semantic", "hybrid"};
constexpr std::array<std::string_view, 2> kGroups{"note", "passage"};
constexpr std::array<std::string_view, 3> kAskModes{"auto", "extractive", "generative"};
constexpr std::array<std::string_view, 2> kEncodings{"float", "base64"};
constexpr std::array<std::string_view, 2> kInputKinds{"query", "passage"};
constexpr std::array<std::string_view, 2> kWaits{"keyword", "semantic"};

void read_deadline(BodyReader& reader, DeadlineWish& out) {
  std::int64_t milliseconds = 0;
  reader.integer("deadline_ms", 1, kMaxDeadlineMs, milliseconds);
  if (milliseconds > 0) out = std::chrono::milliseconds(milliseconds);
}

void read_filter(BodyReader& reader, std::int64_t now_s, std::optional<search::Filter>& out,
                 std::string& text) {
  reader.text("filter", Need::kOptional, kFilter, text);
  if (text::trim(text).empty()) return;
  auto filter = search::Filter::parse(text, now_s);
  if (filter) {
    out = std::move(*filter);
    return;
  }
  Problem problem = wrong_field("filter", "the filter has a mistake at character " +
                                              std::to_string(filter.error().character) + ": " +
                                              filter.error().message);
  problem.position = filter.error().character;
  reader.fail(std::move(problem));
}

/// Text of a message: a string, or a list of {"type": "text", "text": ...} parts.
bool read_content(const json::value& content, std::string& out) {
  if (content.is_string()) {
    out = std::string(content.get_string());
    return true;
  }
  if (!content.is_array()) return false;
  for (const json::value& part : content.get_array()) {
    if (!part.is_object()) return false;
    const json::value* type = part.get_object().if_contains("type");
    const json::value* text = part.get_object().if_contains("text");
    if (type == nullptr || !type->is_string() || type->get_string() != "text") return false;
    if (text == nullptr || !text->is_string()) return false;
    out += std::string_view(text->get_string());
  }
  return true;
}

enum class Tools { kNone, kAllowed };

/// Reads what the messages of tools have beside text. Returns what is wrong.
std::string read_tool_fields(const json::object& entry, models::ChatMessage& message) {
  const json::value* calls = entry.if_contains("tool_calls");
  if (message.role == "assistant" && calls != nullptr && !calls->is_null()) {
    if (!calls->is_array()) return "holds tool_calls that are no list";
    if (!calls->get_array().empty()) message.tool_calls = json_text(*calls);
  }
  const json::value* id = entry.if_contains("tool_call_id");
  if (message.role != "tool") return {};
  if (id == nullptr || !id->is_string()) return "holds a tool's message without tool_call_id";
  message.tool_call_id = std::string(id->get_string());
  return {};
}

/// Returns what is wrong with a list of messages; empty: nothing.
std::string read_messages(const json::value& value, std::size_t most, Tools tools,
                          std::vector<models::ChatMessage>& out) {
  if (!value.is_array()) return "must be a list of messages";
  if (value.get_array().size() > most) return "has more than " + std::to_string(most) + " messages";
  for (const json::value& entry : value.get_array()) {
    if (!entry.is_object()) return "must hold objects with role and content";
    const json::value* role = entry.get_object().if_contains("role");
    const json::value* content = entry.get_object().if_contains("content");
    models::ChatMessage message;
    if (role == nullptr || !role->is_string()) return "holds a message without role";
    message.role = std::string(role->get_string());
    if (message.role == "developer") message.role = "system";
    const bool known = message.role == "system" || message.role == "user" ||
                       message.role == "assistant" ||
                       (message.role == "tool" && tools == Tools::kAllowed);
    if (!known) return "holds a role that is none of system, user, assistant";
    if (tools == Tools::kAllowed) {
      std::string wrong = read_tool_fields(entry.get_object(), message);
      if (!wrong.empty()) return wrong;
    }
    const bool calls_only =
        !message.tool_calls.empty() && (content == nullptr || content->is_null());
    if (!calls_only && (content == nullptr || !read_content(*content, message.content))) {
      return "holds a message whose content is neither a text nor text parts";
    }
    if (message.content.size() > kMaxMessageBytes) return "holds a message over 1 MiB";
    out.push_back(std::move(message));
  }
  return {};
}

/// OpenAI's own words for who waits: the "flex" tier is for work that may take its time, and `user`
/// is whoever the client asks for. Texts of any form are taken there, so a tenant is made of them.
void read_caller(BodyReader& reader, models::GenerateRequest& request) {
  constexpr std::string_view kPatient = "flex";
  const auto text_of = [&](std::string_view name) {
    const json::value* value = reader.raw(name);
    return value != nullptr && value->is_string() ? std::string_view(value->get_string())
                                                  : std::string_view();
  };
  if (text_of("service_tier") == kPatient) request.priority = models::Priority::kBackground;
  const std::string_view user = text_of("user");
  if (!user.empty())
    request.tenant = is_tenant(user) ? std::string(user) : fmt::format("{:016x}", hash64(user));
}

/// What form the answer must have. Whoever runs the model judges schemas and tools.
void read_form(BodyReader& reader, models::GenerateRequest& request) {
  using Kinds = std::initializer_list<json::kind>;
  const auto keep = [&](std::string_view name, Kinds kinds, const char* what, std::string& out) {
    const json::value* value = reader.raw(name);
    if (value == nullptr || value->is_null()) return;
    if (std::ranges::find(kinds, value->kind()) == kinds.end()) {
      reader.fail(wrong_field(name, fmt::format("'{}' must be {}", name, what)));
    } else if (!value->is_array() || !value->get_array().empty()) {
      out = json_text(*value);
    }
  };
  keep("response_format", {json::kind::object}, "an object", request.response_format);
  keep("tools", {json::kind::array}, "a list", request.tools);
  keep("tool_choice", {json::kind::string, json::kind::object}, "a text or an object",
       request.tool_choice);
  reader.boolean("parallel_tool_calls", request.parallel_tool_calls);
  bool logprobs = false;
  std::int64_t top = 0;
  reader.boolean("logprobs", logprobs);
  reader.integer("top_logprobs", 0, kMaxTopLogprobs, top);
  if (logprobs) request.top_logprobs = static_cast<std::uint32_t>(std::max<std::int64_t>(top, 0));
}

template <typename Number>
Number clamp_to(std::int64_t value) {
  return static_cast<Number>(std::min<std::int64_t>(value, std::numeric_limits<Number>::max()));
}

json::array text_array(const std::vector<std::string>& texts) {
  return json::array(texts.begin(), texts.end());
}

}  // namespace

std::string encode_search(const SearchBody& body) {
  const index::SearchRequest& request = body.request;
  return json_text(json::object{{"query", request.text},
                                {"limit", request.limit},
                                {"vault", text_array(request.vaults)},
                                {"filter", body.filter},
                                {"mode", kSearchModes.at(static_cast<std::size_t>(request.mode))},
                                {"group", kGroups.at(static_cast<std::size_t>(request.group))}});
}

std::string encode_ask(const AskBody& body) {
  const answer::AskRequest& request = body.request;
  if (!request.history.empty()) return {};
  return json_text(json::object{{"question", request.question},
                                {"vault", text_array(request.vaults)},
                                {"filter", body.filter},
                                {"model", request.model},
                                {"mode", kAskModes.at(static_cast<std::size_t>(request.mode))},
                                {"max_tokens", request.max_tokens}});
}

std::int64_t filter_now() {
  constexpr std::int64_t kMinute = 60;
  return unix_now() / kMinute * kMinute;
}

Checked<SearchBody> decode_search(BodyReader reader, std::string_view query_name,
                                  std::int64_t now_s) {
  SearchBody body;
  std::int64_t limit = body.request.limit;
  std::size_t mode = 0;
  std::size_t group = 0;
  reader.text(query_name, Need::kRequired, kQuestion, body.request.text);
  reader.integer("limit", 1, 100, limit);
  reader.texts("vault", kMaxVaults, kName, body.request.vaults);
  read_filter(reader, now_s, body.request.filter, body.filter);
  reader.choice("mode", kSearchModes, mode);
  reader.choice("group", kGroups, group);
  reader.boolean("explain", body.request.explain);
  read_deadline(reader, body.deadline);
  if (const auto finished = reader.finish(); !finished) return refuse(finished.error());
  body.request.limit = clamp_to<std::uint32_t>(limit);
  body.request.mode = static_cast<search::Mode>(mode);
  body.request.group = static_cast<search::Group>(group);
  return body;
}

Checked<AskBody> decode_ask(BodyReader reader, std::int64_t now_s) {
  AskBody body;
  std::int64_t max_tokens = body.request.max_tokens;
  std::size_t mode = 0;
  bool stream = false;
  reader.text("question", Need::kRequired, kQuestion, body.request.question);
  reader.texts("vault", kMaxVaults, kName, body.request.vaults);
  read_filter(reader, now_s, body.request.filter, body.filter);
  if (const json::value* history = reader.raw("history")) {
    const std::string wrong =
        read_messages(*history, kMaxHistory, Tools::kNone, body.request.history);
    if (!wrong.empty()) reader.fail(wrong_field("history", "'history' " + wrong));
  }
  reader.text("model", Need::kOptional, {0, kName.max}, body.request.model);
  reader.choice("mode", kAskModes, mode);
  reader.integer("max_tokens", 1, 4096, max_tokens);
  reader.boolean("stream", stream);
  reader.boolean("explain", body.explain);
  read_deadline(reader, body.deadline);
  if (const auto finished = reader.finish(); !finished) return refuse(finished.error());
  body.request.mode = static_cast<answer::Mode>(mode);
  body.request.max_tokens = clamp_to<std::uint32_t>(max_tokens);
  if (stream) body.delivery = Delivery::kStream;
  return body;
}

Checked<ChatBody> decode_chat(BodyReader reader) {
  ChatBody body;
  std::int64_t max_tokens = body.request.max_tokens;
  std::int64_t choices = 1;
  std::optional<std::int64_t> seed;
  double temperature = 0;
  double top_p = 1;
  bool stream = false;
  reader.text("model", Need::kRequired, {0, kName.max}, body.model);
  if (const json::value* messages = reader.raw("messages")) {
    const std::string wrong =
        read_messages(*messages, kMaxChatMessages, Tools::kAllowed, body.request.messages);
    if (!wrong.empty()) reader.fail(wrong_field("messages", "'messages' " + wrong));
    if (wrong.empty() && body.request.messages.empty()) {
      reader.fail(wrong_field("messages", "'messages' is empty"));
    }
  } else {
    reader.fail(wrong_field("messages", "the field 'messages' is missing"));
  }
  reader.integer("max_tokens", 1, 1'000'000, max_tokens);
  reader.integer("max_completion_tokens", 1, 1'000'000, max_tokens);
  reader.integer("n", 1, 1, choices);
  if (const json::value* given = reader.raw("seed"); given != nullptr && !given->is_null()) {
    reader.integer("seed", std::numeric_limits<std::int64_t>::min(),
                   std::numeric_limits<std::int64_t>::max(), seed.emplace());
  }
  reader.number("temperature", 0, 2, temperature);
  reader.number("top_p", 0, 1, top_p);
  reader.texts("stop", kMaxStops, {1, 256}, body.request.stop);
  reader.boolean("stream", stream);
  read_caller(reader, body.request);
  read_form(reader, body.request);
  if (const json::value* options = reader.raw("stream_options");
      options != nullptr && options->is_object()) {
    const json::value* usage = options->get_object().if_contains("include_usage");
    body.include_usage = usage != nullptr && usage->is_bool() && usage->get_bool();
  }
  read_deadline(reader, body.deadline);
  if (const auto finished = reader.finish(); !finished) return refuse(finished.error());
  body.request.max_tokens = clamp_to<std::uint32_t>(max_tokens);
  if (seed) body.request.seed = static_cast<std::uint64_t>(*seed);
  body.request.temperature = static_cast<float>(temperature);
  body.request.top_p = static_cast<float>(top_p);
  if (stream) body.delivery = Delivery::kStream;
  return body;
}

Checked<EmbeddingsBody> decode_embeddings(BodyReader reader) {
  EmbeddingsBody body;
  std::size_t encoding = 0;
  std::size_t kind = 1;
  std::int64_t dimensions = 0;
  reader.text("model", Need::kRequired, {0, kName.max}, body.model);
  if (reader.raw("input") == nullptr)
    reader.fail(wrong_field("input", "the field 'input' is missing"));
  reader.texts("input", kMaxEmbeddingInputs, {1, kMaxEmbeddingCharacters}, body.input);
  if (!reader.failed() && body.input.empty()) reader.fail(wrong_field("input", "'input' is empty"));
  reader.choice("encoding_format", kEncodings, encoding);
  reader.choice("input_type", kInputKinds, kind);
  reader.integer("dimensions", 1, 1'000'000, dimensions);
  read_deadline(reader, body.deadline);
  if (const auto finished = reader.finish(); !finished) return refuse(finished.error());
  body.encoding = static_cast<EmbeddingsBody::Encoding>(encoding);
  body.kind = static_cast<models::InputKind>(kind);
  if (dimensions > 0) body.dimensions = dimensions;
  return body;
}

Checked<RerankBody> decode_rerank(BodyReader reader) {
  RerankBody body;
  reader.text("model", Need::kRequired, {0, kName.max}, body.model);
  reader.text("query", Need::kRequired, {1, kMaxEmbeddingCharacters}, body.query);
  const json::value* documents = reader.raw("documents");
  if (documents == nullptr || !documents->is_array() || documents->get_array().empty() ||
      documents->get_array().size() > models::Reranker::kTextsMax) {
    reader.fail(wrong_field("documents", "'documents' must be a list of 1 to " +
                                             std::to_string(models::Reranker::kTextsMax) +
                                             " texts"));
  } else {
    for (const json::value& each : documents->get_array()) {
      const auto* object = each.if_object();
      const json::value* text = object == nullptr ? &each : object->if_contains("text");
      if (text == nullptr || !text->is_string() ||
          text->get_string().size() > 4 * kMaxEmbeddingCharacters) {
        reader.fail(wrong_field("documents",
                                "each of 'documents' must be a text, or an object "
                                "with a 'text'"));
        break;
      }
      body.documents.emplace_back(text->get_string());
    }
  }
  reader.integer("top_n", 1, 1'000'000, body.top_n);
  reader.boolean("return_documents", body.return_documents);
  read_deadline(reader, body.deadline);
  if (const auto finished = reader.finish(); !finished) return refuse(finished.error());
  return body;
}

Checked<ScanBody> decode_scan(BodyReader reader) {
  std::size_t wait = 0;
  reader.choice("wait", kWaits, wait);
  if (const auto finished = reader.finish(); !finished) return refuse(finished.error());
  return ScanBody{static_cast<index::Service::WaitFor>(wait)};
}

static_assert(static_cast<int>(search::Mode::kHybrid) == 3 &&
              static_cast<int>(search::Group::kPassage) == 1);
static_assert(static_cast<int>(answer::Mode::kGenerative) == 2);
static_assert(static_cast<int>(models::InputKind::kPassage) == 1);
static_assert(static_cast<int>(index::Service::WaitFor::kSemantic) == 1);

}  // namespace knap::api
