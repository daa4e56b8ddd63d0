#include "remote_error.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>

#include "knap/base/text.hpp"

namespace knap::models {
namespace {

namespace json = boost::json;

constexpr std::size_t kMessageBytesMax = 400;

std::string read_text(const json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) return {};
  return std::string(text::truncate(std::string_view(value->get_string()), kMessageBytesMax));
}

ErrorCode code_of(int status, std::string_view code) {
  if (code == "context_length_exceeded") return ErrorCode::kResourceExhausted;
  switch (status) {
    case 401:
    case 403: return ErrorCode::kPermissionDenied;
    case 404: return ErrorCode::kNotFound;
    case 408:
    case 504: return ErrorCode::kDeadlineExceeded;
    case 413: return ErrorCode::kResourceExhausted;
    case 429:
    case 502:
    case 503: return ErrorCode::kUnavailable;
    default: return status >= 500 ? ErrorCode::kUnavailable : ErrorCode::kInvalidArgument;
  }
}

}  // namespace

Error remote_error(int status, std::string_view body, std::string_view model) {
  boost::system::error_code failed;
  const json::value root = json::parse(body, failed);
  std::string message;
  std::string code;
  if (!failed && root.is_object()) {
    const auto* error = root.get_object().if_contains("error");
    if (error != nullptr && error->is_object()) {
      message = read_text(error->get_object(), "message");
      code = read_text(error->get_object(), "code");
    } else {
      message = read_text(root.get_object(), "error");  // Ollama's shape
    }
  }
  if (message.empty()) message = fmt::format("status {}", status);
  return make_error(code_of(status, code), fmt::format("model {}: {}", model, message));
}

Error connection_error(Error error, std::string_view model) {
  if (error.code != ErrorCode::kUnavailable) return error;
  return make_error(
      ErrorCode::kUnavailable,
      fmt::format("model {} stopped while answering; try again ({})", model, error.message));
}

}  // namespace knap::models
