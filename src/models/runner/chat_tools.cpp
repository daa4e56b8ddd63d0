#include "runner/chat_tools.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <optional>

#include "knap/base/json_text.hpp"
#include "runner/json_grammar.hpp"

namespace knap::models::runner {
namespace {

namespace json = boost::json;

constexpr std::size_t kToolsMax = 128;
constexpr std::size_t kNameBytesMax = 64;
constexpr std::size_t kCallsMax = 16;

Error wrong(std::string message) {
  return make_error(ErrorCode::kInvalidArgument, std::move(message));
}

const json::value* field(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::optional<std::string> text_field(const json::object& object, std::string_view name) {
  const auto* value = field(object, name);
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return std::string(value->get_string());
}

bool is_tool_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
}

struct Tool {
  std::string name;
  json::object function;

  const json::value* parameters() const { return field(function, "parameters"); }
  bool strict() const {
    const auto* flag = field(function, "strict");
    return flag != nullptr && flag->is_bool() && flag->get_bool();
  }
};

Result<std::vector<Tool>> read_list(const json::value& list) {
  if (!list.is_array() || list.get_array().size() > kToolsMax)
    return wrong(fmt::format("'tools' must be a list of at most {}", kToolsMax));
  std::vector<Tool> tools;
  for (const json::value& entry : list.get_array()) {
    const auto* object = entry.if_object();
    const auto* function = object == nullptr ? nullptr : field(*object, "function");
    if (function == nullptr || !function->is_object() || text_field(*object, "type") != "function")
      return wrong("each of 'tools' must be {\"type\": \"function\", \"function\": {...}}");
    auto name = text_field(function->get_object(), "name");
    if (!name || !is_tool_name(*name))
      return wrong("the name of each of 'tools' has 1 to 64 of letters, digits, '_' and '-'");
    if (std::ranges::find(tools, *name, &Tool::name) != tools.end())
      return wrong(fmt::format("'tools' has two functions of the name {}", *name));
    tools.push_back({*std::move(name), function->get_object()});
  }
  return tools;
}

// Keeps of `tools` those that may be called.
Result<ToolUse::Choice> read_choice(const json::object& body, std::vector<Tool>& tools) {
  const auto* choice = field(body, "tool_choice");
  if (choice == nullptr) return ToolUse::Choice::kAuto;
  if (choice->is_string()) {
    const std::string_view word = choice->get_string();
    if (word == "none") return ToolUse::Choice::kNone;
    if (word == "auto") return ToolUse::Choice::kAuto;
    if (word == "required") return ToolUse::Choice::kRequired;
  } else if (const auto* object = choice->if_object()) {
    const auto* function = field(*object, "function");
    const auto name = function != nullptr && function->is_object()
                          ? text_field(function->get_object(), "name")
                          : std::nullopt;
    if (name) {
      std::erase_if(tools, [&](const Tool& tool) { return tool.name != *name; });
      if (tools.empty()) return wrong("'tool_choice' names a function that 'tools' does not hold");
      return ToolUse::Choice::kRequired;
    }
  }
  return wrong(
      "'tool_choice' must be none, auto, required or {\"type\": \"function\", \"function\": "
      "{\"name\": ...}}");
}

std::string prompt_of(const std::vector<Tool>& tools) {
  std::string text =
      "# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are "
      "provided with function signatures within <tools></tools> XML tags:\n<tools>";
  for (const Tool& tool : tools) {
    text += "\n" + json_text(json::object{{"type", "function"}, {"function", tool.function}});
  }
  return text +
         "\n</tools>\n\nFor each function call, return a json object with function name and "
         "arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": "
         "<function-name>, \"arguments\": <args-json-object>}\n</tool_call>";
}

void tell(std::string text, std::vector<Message>& messages) {
  if (!messages.empty() && messages.front().role == "system") {
    messages.front().content += "\n\n" + text;
  } else {
    messages.insert(messages.begin(), {"system", std::move(text)});
  }
}

// What is written after the first kToolCallBegin.
Result<std::string> add_calls(const std::vector<Tool>& tools, bool parallel, JsonGrammar& grammar) {
  std::string calls;
  for (const Tool& tool : tools) {
    std::string arguments(JsonGrammar::kObject);
    if (const auto* schema = tool.parameters()) {
      const auto keep = tool.strict() ? JsonGrammar::Keep::kExact : JsonGrammar::Keep::kLoose;
      auto rule = grammar.add_schema(*schema, keep);
      if (!rule)
        return wrong(fmt::format("the parameters of tool {}: {}", tool.name, rule.error().message));
      arguments = *std::move(rule);
    }
    if (!calls.empty()) calls += " | ";
    calls += fmt::format(
        R"({} {} "}}")",
        JsonGrammar::literal(fmt::format(R"({{"name": "{}", "arguments": )", tool.name)),
        arguments);
  }
  KNAP_TRY(const std::string call, grammar.add_rule(calls));
  const std::string one = fmt::format(R"("\n"? {} "\n{}")", call, kToolCallEnd);
  if (!parallel) return one;
  return fmt::format(R"({} ("\n" "{}" {}){{0,{}}})", one, kToolCallBegin, one, kCallsMax - 1);
}

}  // namespace

Result<ToolUse> read_tools(const json::object& body, GenerationRequest& work) {
  ToolUse use;
  const auto* list = field(body, "tools");
  if (list == nullptr) return use;
  KNAP_TRY(std::vector<Tool> tools, read_list(*list));
  if (tools.empty()) return use;
  KNAP_TRY(use.choice, read_choice(body, tools));
  if (!use.any()) return use;
  if (const auto* parallel = field(body, "parallel_tool_calls"))
    use.parallel = !parallel->is_bool() || parallel->get_bool();
  if (!work.grammar.rules.empty() && use.choice == ToolUse::Choice::kRequired)
    return wrong("'tool_choice' requires a call, which 'response_format' leaves no room for");
  JsonGrammar grammar;
  KNAP_TRY(std::string calls, add_calls(tools, use.parallel, grammar));
  if (use.choice == ToolUse::Choice::kRequired) {
    work.grammar.rules = std::move(grammar).finish(fmt::format("\"{}\" {}", kToolCallBegin, calls));
  } else if (work.grammar.rules.empty()) {
    work.grammar = {std::move(grammar).finish(calls), std::string(kToolCallBegin)};
  }
  for (const Tool& tool : tools) use.names.push_back(tool.name);
  tell(prompt_of(tools), work.messages);
  return use;
}

Result<std::string> calls_as_text(std::string content, const json::value& calls) {
  if (!calls.is_array() || calls.get_array().size() > kToolsMax)
    return wrong(fmt::format("'tool_calls' of a message must be a list of at most {}", kToolsMax));
  for (const json::value& call : calls.get_array()) {
    const auto* object = call.if_object();
    const auto* function = object == nullptr ? nullptr : field(*object, "function");
    if (function == nullptr || !function->is_object())
      return wrong("each of a message's 'tool_calls' must hold a 'function'");
    const auto name = text_field(function->get_object(), "name");
    const auto arguments = text_field(function->get_object(), "arguments");
    if (!name || !arguments)
      return wrong("a function of 'tool_calls' must hold 'name' and 'arguments' as text");
    if (!content.empty()) content += '\n';
    content += fmt::format("{}\n{{\"name\": {}, \"arguments\": {}}}\n{}", kToolCallBegin,
                           json_text(json::value(*name)), *arguments, kToolCallEnd);
  }
  return content;
}

std::string tool_answer_as_text(std::string_view content) {
  return fmt::format("<tool_response>\n{}\n</tool_response>", content);
}

}  // namespace knap::models::runner
