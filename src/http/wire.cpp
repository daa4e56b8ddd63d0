#include "wire.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <ctime>

#include "knap/base/hash.hpp"

namespace knap::http {
namespace {

/// RFC 9110 date; made once a second for each thread.
std::string_view http_date() {
  thread_local std::time_t made_at = 0;
  thread_local std::array<char, 40> text{};
  thread_local std::size_t length = 0;
  const std::time_t now = std::time(nullptr);
  if (now != made_at) {
    std::tm parts{};
    gmtime_r(&now, &parts);
    length = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    made_at = now;
  }
  return {text.data(), length};
}

void append_json_text(std::string& out, std::string_view text) {
  for (const char c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(static_cast<unsigned char>(c) < 0x20 ? ' ' : c);
  }
}

bool is_framing(std::string_view name) {
  return equals_ignoring_case(name, "Content-Length") ||
         equals_ignoring_case(name, "Transfer-Encoding") ||
         equals_ignoring_case(name, "Connection") || equals_ignoring_case(name, "Date");
}

}  // namespace

std::string_view reason_phrase(int status) {
  switch (status) {
    case 100: return "Continue";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 507: return "Insufficient Storage";
    default: return "Unknown";
  }
}

bool is_bodiless(int status) { return status < 200 || status == 204 || status == 304; }

std::string response_head(const Response& response, Persistence persistence, Framing framing) {
  std::string head;
  head.reserve(256);
  head.append("HTTP/1.1 ").append(std::to_string(response.status)).append(" ");
  head.append(reason_phrase(response.status)).append("\r\n");
  for (const auto& [name, value] : response.fields.all()) {
    if (is_framing(name)) continue;
    head.append(name).append(": ").append(value).append("\r\n");
  }
  head.append("Date: ").append(http_date()).append("\r\n");
  if (framing == Framing::kChunked) {
    head.append("Transfer-Encoding: chunked\r\n");
  } else if (framing == Framing::kLength && !is_bodiless(response.status)) {
    head.append("Content-Length: ").append(std::to_string(response.body.size())).append("\r\n");
  }
  if (persistence == Persistence::kClose) head.append("Connection: close\r\n");
  head.append("\r\n");
  return head;
}

Response problem_response(int status, std::string_view detail) {
  const std::string id = random_id();
  std::string body = R"({"type":"about:blank","title":")";
  append_json_text(body, reason_phrase(status));
  body.append(R"(","status":)").append(std::to_string(status)).append(R"(,"detail":")");
  append_json_text(body, detail);
  body.append(R"(","request_id":")").append(id).append(R"("})");
  Response response = Response::text(status, std::move(body), "application/problem+json");
  response.fields.set("X-Request-Id", id);
  if (status == 503) response.fields.set("Retry-After", "1");
  return response;
}

}  // namespace knap::http
