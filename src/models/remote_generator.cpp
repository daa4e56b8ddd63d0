#include "remote_generator.hpp"

#include <fmt/format.h>

#include "chat_generator.hpp"

namespace knap::models {

Result<std::shared_ptr<GuardedGenerator>> make_remote_generator(const ModelsOptions::Remote& remote,
                                                                observe::Registry& metrics) {
  KNAP_TRY(http::Endpoint endpoint, http::Endpoint::parse(remote.url));
  if (endpoint.base_path == "/") endpoint.base_path.clear();
  const bool ollama = remote.shape == ModelsOptions::Remote::Shape::kOllama;
  // Addresses are written with and without the version, e.g. http://127.0.0.1:8080 and
  // http://127.0.0.1:8080/v1.
  const std::string version = endpoint.base_path.empty() ? "/v1" : "";
  ChatTarget target;
  target.id = "remote:" + remote.model;
  target.model = remote.model;
  target.shape = ollama ? ChatShape::kOllama : ChatShape::kOpenAi;
  target.path = ollama ? "/api/chat" : version + "/chat/completions";
  target.key = remote.key;
  target.context = remote.context_tokens;
  RemoteRules rules;
  rules.server = endpoint.unix_socket.empty() ? fmt::format("{}:{}", endpoint.host, endpoint.port)
                                              : endpoint.unix_socket;
  rules.silence = remote.silence;
  rules.price_read = remote.price_read;
  rules.price_write = remote.price_write;
  rules.retry_after = std::make_shared<RetryAfter>();
  target.on_retry_after = [asked = rules.retry_after](std::chrono::seconds wait) {
    asked->ask(wait);
  };
  target.connect = [client = std::shared_ptr<http::Client>(http::Client::create(endpoint, {}))](
                       const Hold&, Deadline, const CancelToken&) {
    return Result<ChatTarget::Connection>(
        {.hold = nullptr, .client = client.get(), .on_broken = {}});
  };
  return std::make_shared<GuardedGenerator>(make_chat_generator(std::move(target), metrics),
                                            std::move(rules),
                                            std::make_shared<SentLog>(remote.sent_log), metrics);
}

}  // namespace knap::models
