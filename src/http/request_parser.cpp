#include "request_parser.hpp"

#include <boost/beast/http/parser.hpp>
#include <boost/beast/version.hpp>

#include "body_type.hpp"
#include "target.hpp"

namespace knap::http {
namespace {

namespace beast_http = boost::beast::http;
using BeastError = boost::beast::error_code;

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

struct RequestParser::Impl {
  beast_http::request_parser<AppendBody> parser;
  bool header_seen = false;
};

RequestParser::RequestParser(Limits limits) : impl_(std::make_unique<Impl>()) {
  impl_->parser.header_limit(limits.header_bytes);
  impl_->parser.body_limit(limits.body_bytes);
}

RequestParser::~RequestParser() = default;

RequestParser::State RequestParser::fail(int status, std::string detail) {
  status_ = status;
  detail_ = std::move(detail);
  return State::kFailed;
}

RequestParser::State RequestParser::feed(std::string_view bytes, std::size_t& consumed) {
  consumed = 0;
  auto& parser = impl_->parser;
  while (!parser.is_done() && consumed < bytes.size()) {
    BeastError error;
    consumed += parser.put(
        boost::asio::const_buffer(bytes.data() + consumed, bytes.size() - consumed), error);
    if (error == beast_http::error::need_more) break;
    if (error == beast_http::error::header_limit)
      return fail(431, "the request header is too large");
    if (error == beast_http::error::body_limit) return fail(413, "the request body is too large");
    if (error) return fail(400, "malformed request: " + error.message());
    if (parser.is_header_done() && !impl_->header_seen) {
      impl_->header_seen = true;
      if (check_header() == State::kFailed) return State::kFailed;
      parser.eager(true);
      if (!parser.is_done()) return State::kHeader;
    }
  }
  return parser.is_done() ? State::kDone : State::kNeedMore;
}

RequestParser::State RequestParser::check_header() {
  const auto& message = impl_->parser.get();
  std::size_t hosts = 0;
  std::size_t transfer_encodings = 0;
  for (const auto& field : message) {
    if (field.name() == beast_http::field::host) ++hosts;
    if (field.name() != beast_http::field::transfer_encoding) continue;
    // Beast lets unknown codings pass as "no body"; a proxy before us may see one, and smuggle a
    // request in it.
    if (!equals_ignoring_case(view(field.value()), "chunked") || ++transfer_encodings > 1) {
      return fail(400, "only the transfer encoding 'chunked' is understood");
    }
  }
  if (transfer_encodings > 0 && is_http_10())
    return fail(400, "HTTP/1.0 has no transfer encodings");
  if (hosts > 1 || (hosts == 0 && !is_http_10()))
    return fail(400, "exactly one Host field is needed");
  request_.method = std::string(view(message.method_string()));
  for (const char c : request_.method) {
    if (c < 'A' || c > 'Z') return fail(400, "the method is not in upper case letters");
  }
  request_.target = std::string(view(message.target()));
  auto target = parse_target(request_.target);
  if (!target) return fail(400, target.error().message);
  request_.path = std::move(target->path);
  request_.query = std::move(target->query);
  for (const auto& field : message) {
    const std::string_view name = view(field.name_string());
    // Repeated fields mean one list (RFC 9110, 5.3).
    if (const auto known = request_.fields.get(name)) {
      request_.fields.set(name, std::string(*known) + ", " + std::string(view(field.value())));
    } else {
      request_.fields.set(name, view(field.value()));
    }
  }
  if (!target->authority.empty()) request_.fields.set("Host", target->authority);
  return State::kHeader;
}

bool RequestParser::expects_continue() const {
  const auto expect = request_.fields.get("Expect");
  return expect && equals_ignoring_case(*expect, "100-continue") && !is_http_10();
}

bool RequestParser::keep_alive() const { return impl_->parser.keep_alive(); }

bool RequestParser::is_http_10() const { return impl_->parser.get().version() < 11; }

std::uint64_t RequestParser::body_bytes() const { return impl_->parser.get().body().size(); }

Request RequestParser::take() {
  request_.body = std::move(impl_->parser.get().body());
  return std::move(request_);
}

}  // namespace knap::http
