#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "knap/base/text.hpp"
#include "request_parser.hpp"
#include "response_parser.hpp"
#include "target.hpp"

namespace {

using knap::http::RequestParser;

/// The parser must see the same request however the bytes were cut.
RequestParser::State run(std::string_view bytes, std::size_t step, knap::http::Request& out) {
  RequestParser parser({1024, 4096});
  std::string input;
  RequestParser::State state = RequestParser::State::kNeedMore;
  while (!bytes.empty()) {
    const std::string_view part = bytes.substr(0, step);
    bytes.remove_prefix(part.size());
    input += part;
    do {
      std::size_t consumed = 0;
      state = parser.feed(input, consumed);
      input.erase(0, consumed);
    } while (state == RequestParser::State::kHeader && !input.empty());
    if (state == RequestParser::State::kDone) out = parser.take();
    if (state == RequestParser::State::kDone || state == RequestParser::State::kFailed)
      return state;
  }
  return state;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  knap::http::Request whole;
  knap::http::Request pieces;
  const auto first = run(bytes, size + 1, whole);
  const auto second = run(bytes, 1, pieces);
  if (first == RequestParser::State::kDone && second == RequestParser::State::kDone) {
    if (whole.body != pieces.body || whole.path != pieces.path || whole.method != pieces.method)
      std::abort();
    if (!knap::text::is_valid_utf8(whole.path)) std::abort();
  }
  const auto target = knap::http::parse_target(bytes);
  if (target &&
      (target->path.find('\0') != std::string::npos || !knap::text::is_valid_utf8(target->path)))
    std::abort();
  knap::http::ResponseParser response({false, 4096, {}});
  std::size_t consumed = 0;
  (void)response.feed(bytes, consumed);
  (void)response.end_of_input();
  return 0;
}
