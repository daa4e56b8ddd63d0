#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "knap/base/result.hpp"
#include "runner/generation.hpp"

namespace knap::models::runner {

/// The functions that a model may ask its caller to run, as OpenAI's `tools`, `tool_choice` and
/// `parallel_tool_calls` say.
struct ToolUse {
  enum class Choice { kNone, kAuto, kRequired };
  Choice choice = Choice::kNone;
  std::vector<std::string> names;  ///< Of those that may be called.
  bool parallel = true;            ///< Several calls in one answer.

  bool any() const { return choice != Choice::kNone; }
};

/// Reads the tools of a request, tells the model of them in its system message (in the form that
/// Qwen's models were trained with, which others understand as well), and sets the grammar that
/// calls must have: at once when a call is required, else from the mark with which one begins.
/// Parameters whose schema the grammar cannot express are shaped loosely, unless the tool is
/// `strict`.
/// Errors: kInvalidArgument, naming the field.
Result<ToolUse> read_tools(const boost::json::object& body, GenerationRequest& work);

/// The text of an assistant's message with the calls that it made, and of a tool's answer, as the
/// model reads them. Errors: kInvalidArgument.
Result<std::string> calls_as_text(std::string content, const boost::json::value& calls);
std::string tool_answer_as_text(std::string_view content);

inline constexpr std::string_view kToolCallBegin = "<tool_call>";
inline constexpr std::string_view kToolCallEnd = "</tool_call>";

}  // namespace knap::models::runner
