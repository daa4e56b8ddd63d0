#include "runner/service.hpp"

#include <boost/json.hpp>

#include "knap/base/json_text.hpp"

namespace knap::models::runner {
namespace {

struct Shape {
  int status;
  const char* type;
  const char* code;
};

Shape shape_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kUnsupported: return {400, "invalid_request_error", "invalid_request"};
    case ErrorCode::kResourceExhausted:
      return {400, "invalid_request_error", "context_length_exceeded"};
    case ErrorCode::kNotFound: return {404, "invalid_request_error", "not_found"};
    case ErrorCode::kDeadlineExceeded: return {504, "server_error", "deadline_exceeded"};
    case ErrorCode::kCancelled: return {499, "server_error", "cancelled"};
    case ErrorCode::kUnavailable: return {503, "server_error", "unavailable"};
    case ErrorCode::kPermissionDenied: return {403, "invalid_request_error", "forbidden"};
    case ErrorCode::kAlreadyExists:
    case ErrorCode::kFailedPrecondition:
    case ErrorCode::kCorruptData:
    case ErrorCode::kIo:
    case ErrorCode::kInternal: break;
  }
  return {500, "server_error", "internal"};
}

}  // namespace

http::Response error_response(const Error& error,
                              std::optional<std::chrono::milliseconds> retry_after) {
  const Shape shape = shape_of(error.code);
  boost::json::object detail;
  detail["message"] = error.message;
  detail["type"] = shape.type;
  detail["code"] = shape.code;
  detail["status"] = shape.status;
  boost::json::object body;
  body["error"] = std::move(detail);
  auto response = http::Response::json(shape.status, json_text(body));
  if (shape.status == 503) {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(
        retry_after.value_or(std::chrono::milliseconds(1'000)));
    response.fields.set("Retry-After", std::to_string(seconds.count()));
  }
  return response;
}

}  // namespace knap::models::runner
