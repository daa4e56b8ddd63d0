#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "knap/base/result.hpp"
#include "runner/chat_tools.hpp"
#include "runner/generation.hpp"

namespace knap::models::runner {

/// A body of POST /v1/chat/completions as a runner takes it: OpenAI's fields, and of ours
/// "threads", "deadline_ms", "priority" ("interactive", the default, "search" or "background") and
/// "tenant".
struct ChatRequest {
  GenerationRequest work;
  bool stream = false, include_usage = false;
  /// Usage in every chunk (stream_options.continuous_usage_stats, a name vLLM made common): what a
  /// caller that stops early has used.
  bool running_usage = false;
  ToolUse tools;
  std::optional<std::chrono::milliseconds> deadline;
};

/// Errors: kInvalidArgument, naming the field or the place in a schema. Unknown fields are ignored,
/// as OpenAI's clients expect.
Result<ChatRequest> parse_chat_request(const std::string& body);

}  // namespace knap::models::runner
