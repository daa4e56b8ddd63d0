#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "knap/http/message.hpp"

namespace knap::http {

std::string_view reason_phrase(int status);

enum class Persistence { kKeepAlive, kClose };
enum class Framing { kLength, kChunked, kUntilClose };

/// Status line and fields of a response, with the empty line. Framing fields of the caller are
/// replaced by ours.
std::string response_head(const Response& response, Persistence persistence, Framing framing);

/// True where the protocol forbids a body.
bool is_bodiless(int status);

/// A response of the server itself, before a handler: application/problem+json.
Response problem_response(int status, std::string_view detail);

}  // namespace knap::http
