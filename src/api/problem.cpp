#include "problem.hpp"

#include <boost/json.hpp>

#include "knap/base/json_text.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

std::string_view title_of(int status) {
  switch (status) {
    case 400: return "Bad request";
    case 403: return "Forbidden";
    case 404: return "Not found";
    case 405: return "Method not allowed";
    case 409: return "Conflict";
    case 415: return "Unsupported media type";
    case 422: return "Wrong value";
    case 429: return "Too many requests";
    case 499: return "Client closed the request";
    case 503: return "Not available now";
    case 504: return "Deadline exceeded";
    default: return "Internal error";
  }
}

struct Mapping {
  int status;
  enum class Detail {
    kTold,
    kKept
  } detail;  ///< kKept: for the log of the room it happened in only.
};

Mapping mapping(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kUnsupported: return {422, Mapping::Detail::kTold};
    case ErrorCode::kNotFound: return {404, Mapping::Detail::kTold};
    case ErrorCode::kAlreadyExists:
    case ErrorCode::kFailedPrecondition: return {409, Mapping::Detail::kTold};
    case ErrorCode::kUnavailable:
    case ErrorCode::kResourceExhausted: return {503, Mapping::Detail::kTold};
    case ErrorCode::kDeadlineExceeded: return {504, Mapping::Detail::kTold};
    case ErrorCode::kCancelled: return {499, Mapping::Detail::kTold};
    case ErrorCode::kPermissionDenied: return {403, Mapping::Detail::kTold};
    case ErrorCode::kCorruptData:
    case ErrorCode::kIo:
    case ErrorCode::kInternal: break;
  }
  return {500, Mapping::Detail::kKept};
}

http::Response response_of(int status, const json::object& body, std::string_view content_type,
                           std::chrono::seconds retry_after) {
  http::Response response = http::Response::text(status, json_text(body), content_type);
  if (status == 503 || status == 429)
    response.fields.set("Retry-After", std::to_string(retry_after.count()));
  return response;
}

std::string_view openai_type(int status) {
  if (status == 429) return "rate_limit_error";
  if (status == 403) return "permission_error";
  return status < 500 ? "invalid_request_error" : "server_error";
}

}  // namespace

Problem wrong_field(std::string_view field, std::string detail) {
  return {422, "invalid_argument", std::move(detail), std::string(field)};
}

Problem not_found(std::string detail) { return {404, "not_found", std::move(detail), {}}; }

Problem overloaded(std::string detail) { return {503, "overloaded", std::move(detail), {}}; }

Problem to_problem(const Error& error) {
  const Mapping mapped = mapping(error.code);
  Problem problem{mapped.status, std::string(to_string(error.code)), {}, {}};
  problem.detail =
      mapped.detail == Mapping::Detail::kTold
          ? without_paths(error.message)
          : "the server failed at this request: its log says more under the request_id";
  return problem;
}

std::string without_paths(std::string_view message) {
  std::string out;
  out.reserve(message.size());
  for (std::size_t i = 0; i < message.size();) {
    const bool at_start =
        i == 0 || std::string_view(" '\"(=:").find(message[i - 1]) != std::string_view::npos;
    const std::size_t end = std::min(message.find_first_of(" '\")\n", i), message.size());
    const std::string_view word = message.substr(i, end - i);
    const bool is_path = at_start && word.starts_with('/') && !word.starts_with("//") &&
                         word.find('/', 1) != std::string_view::npos;
    if (is_path) {
      out += "(a path of the server)";
      i = end;
    } else {
      out.push_back(message[i++]);
    }
  }
  return out;
}

http::Response problem_json(const Problem& problem, std::string_view request_id) {
  json::object body;
  body["type"] = "urn:knap:problem:" + problem.code;
  body["title"] = title_of(problem.status);
  body["status"] = problem.status;
  body["detail"] = problem.detail;
  body["request_id"] = request_id;
  if (!problem.field.empty()) body["field"] = problem.field;
  if (problem.position) body["position"] = *problem.position;
  return response_of(problem.status, body, "application/problem+json", problem.retry_after);
}

http::Response openai_error(const Problem& problem) {
  // Stock clients know 400 for wrong values, not 422.
  const int status = problem.status == 422 ? 400 : problem.status;
  json::object error;
  error["message"] = problem.detail;
  error["type"] = openai_type(status);
  if (problem.field.empty()) {
    error["param"] = nullptr;
  } else {
    error["param"] = problem.field;
  }
  error["code"] = problem.code;
  return response_of(status, json::object{{"error", std::move(error)}}, "application/json",
                     problem.retry_after);
}

}  // namespace knap::api
