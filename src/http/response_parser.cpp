#include "response_parser.hpp"

#include <optional>

#include <boost/beast/http/parser.hpp>

#include "body_type.hpp"

namespace knap::http {
namespace {

namespace beast_http = boost::beast::http;
using BeastError = boost::beast::error_code;
using Parser = beast_http::response_parser<AppendBody>;

constexpr std::uint32_t kMaxHeaderBytes = 64U << 10;
constexpr int kMaxInterimResponses = 16;

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

struct ResponseParser::Impl {
  Options options;
  std::optional<Parser> parser;
  std::uint64_t handed_over = 0;
  int interim = 0;

  void restart() {
    parser.emplace();
    parser->header_limit(kMaxHeaderBytes);
    parser->body_limit(boost::none);
    if (options.to_head_request) parser->skip(true);
  }

  /// Passes on what has been collected, so that a stream holds no more than one read.
  State hand_over() {
    std::string& body = parser->get().body();
    const std::uint64_t total = handed_over + body.size();
    if (options.max_body_bytes > 0 && total > options.max_body_bytes) return State::kTooLarge;
    if (!options.on_chunk || body.empty()) return State::kNeedMore;
    handed_over = total;
    if (!options.on_chunk(body)) return State::kStopped;
    body.clear();
    return State::kNeedMore;
  }
};

ResponseParser::ResponseParser(Options options) : impl_(std::make_unique<Impl>()) {
  impl_->options = std::move(options);
  impl_->restart();
}

ResponseParser::~ResponseParser() = default;

ResponseParser::State ResponseParser::feed(std::string_view bytes, std::size_t& consumed) {
  consumed = 0;
  while (!impl_->parser->is_done() && consumed < bytes.size()) {
    Parser& parser = *impl_->parser;
    BeastError error;
    consumed += parser.put(
        boost::asio::const_buffer(bytes.data() + consumed, bytes.size() - consumed), error);
    if (error == beast_http::error::need_more) break;
    if (error == beast_http::error::body_limit) return State::kTooLarge;
    if (error) return State::kMalformed;
    if (!parser.is_header_done()) continue;
    if (parser.get().result_int() < 200) {
      if (parser.get().result_int() == 101 || ++impl_->interim > kMaxInterimResponses)
        return State::kMalformed;
      impl_->restart();
      continue;
    }
    parser.eager(true);
  }
  const State state = impl_->hand_over();
  if (state != State::kNeedMore) return state;
  return impl_->parser->is_done() ? State::kDone : State::kNeedMore;
}

ResponseParser::State ResponseParser::end_of_input() {
  // After an interim answer a new parser waits, which must not be told of an end before a byte.
  if (!impl_->parser->got_some()) return State::kMalformed;
  BeastError error;
  impl_->parser->put_eof(error);
  if (error || !impl_->parser->is_done()) return State::kMalformed;
  const State state = impl_->hand_over();
  return state == State::kNeedMore ? State::kDone : state;
}

bool ResponseParser::keep_alive() const { return impl_->parser->keep_alive(); }

Response ResponseParser::take() {
  auto& message = impl_->parser->get();
  Response response;
  response.status = static_cast<int>(message.result_int());
  for (const auto& field : message) {
    const std::string_view name = view(field.name_string());
    if (const auto known = response.fields.get(name)) {
      response.fields.set(name, std::string(*known) + ", " + std::string(view(field.value())));
    } else {
      response.fields.set(name, view(field.value()));
    }
  }
  if (!impl_->options.on_chunk) response.body = std::move(message.body());
  return response;
}

}  // namespace knap::http
