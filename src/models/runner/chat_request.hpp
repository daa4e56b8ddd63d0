#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <optional>
#include <string>

#include "knap/base/result.hpp"
#include "runner/chat_tools.hpp"
#include "runner/generation.hpp"

namespace knap::models::runner {

/// A body of POST /v1/chat/completions as a runner takes it: OpenAI's fields, and of ours
/// "threads", "deadline_ms", "priority" ("interactive", the default, "search" or "background") and
/// "tenant". A part of a message's content may name what may stand in the place of its "text" where
/// its state is held: "known", with "lead" before it.
struct ChatRequest {
  GenerationRequest work;
  bool stream = false, include_usage = false;
  /// Usage in every chunk (stream_options.continuous_usage_stats, a name vLLM made common): what a
  /// caller that stops early has used.
  bool running_usage = false;
  ToolUse tools;
  std::optional<std::chrono::milliseconds> deadline;
};

/// How urgent, with how many threads, until when: the same in each request to a runner.
struct WorkTerms {
  Urgency urgency = Urgency::kInteractive;
  std::size_t threads = 0;  ///< 0: all of the runner's.
  std::optional<std::chrono::milliseconds> deadline;
};
/// Errors: kInvalidArgument, naming the field.
Result<WorkTerms> read_work_terms(const boost::json::object& body, Urgency usual);

/// Errors: kInvalidArgument, naming the field or the place in a schema. Unknown fields are ignored,
/// as OpenAI's clients expect.
Result<ChatRequest> parse_chat_request(const std::string& body);

}  // namespace knap::models::runner
