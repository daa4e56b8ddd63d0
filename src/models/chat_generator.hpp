#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "knap/http/client.hpp"
#include "knap/models/models.hpp"

namespace knap::models {

/// What a server speaks.
enum class ChatShape {
  kOpenAi,  ///< /v1/chat/completions, Server-Sent Events
  kOllama   ///< /api/chat, one JSON object a line
};

/// Where a chat model is served.
struct ChatTarget {
  std::string id;     ///< What Generator::id() says.
  std::string model;  ///< Name in the request.
  std::string path;   ///< Of the chat completions route.
  std::string key;    ///< Bearer token; empty: none.
  std::uint32_t context = 0;
  ChatShape shape = ChatShape::kOpenAi;
  bool local = false;  ///< A runner of ours: takes deadline_ms and threads.
  std::size_t threads = 0;
  std::size_t runners = 1;  ///< That share the threads of a request.
  /// Told how long the server wants to be left alone, when it says so in a refusal; may be empty.
  std::function<void(std::chrono::seconds)> on_retry_after;
  /// A connection of the server's, kept usable by what holds it.
  struct Connection {
    std::shared_ptr<const void> hold;
    http::Client* client = nullptr;
    std::function<void()> on_broken;  ///< Told when it broke; empty: nothing to do.
  };
  /// E.g. loads the model. `held` is what an earlier call gave as hold, or null.
  std::function<Result<Connection>(const std::shared_ptr<const void>& held, Deadline,
                                   const CancelToken&)>
      connect;
  /// Of a runner of ours, else empty: where passages are read ahead and figures told, and how to
  /// reach it without loading it. Errors: kUnavailable (not loaded).
  std::string passages_path, stats_path;
  std::function<Result<Connection>()> connect_loaded;
};

/// A generator that talks to an OpenAI-shaped server.
std::shared_ptr<Generator> make_chat_generator(ChatTarget target, observe::Registry& metrics);

}  // namespace knap::models
