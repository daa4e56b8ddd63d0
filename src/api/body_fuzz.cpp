#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "knap/base/text.hpp"
#include "problem.hpp"
#include "requests.hpp"

namespace {

using knap::api::BodyReader;

template <typename Body>
void check(const knap::api::Checked<Body>& body) {
  if (body) return;
  // Every refusal must be sayable: a client's status, and text that is JSON.
  if (body.error().status < 400 || body.error().status > 422) std::abort();
  if (!knap::text::is_valid_utf8(body.error().detail)) std::abort();
  (void)knap::api::problem_json(body.error(), "id");
}

}  // namespace

/// Bodies of search, ask, chat and embeddings as they come from outside.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const auto unknown : {BodyReader::Unknown::kRefuse, BodyReader::Unknown::kIgnore}) {
    const auto reader = BodyReader::parse(bytes, unknown);
    check(reader);
    if (!reader) continue;
    constexpr std::int64_t kNow = 1'767'225'600;
    const auto search = knap::api::decode_search(*reader, "query", kNow);
    check(search);
    if (search && (search->request.limit < 1 || search->request.limit > 100)) std::abort();
    check(knap::api::decode_ask(*reader, kNow));
    const auto chat = knap::api::decode_chat(*reader);
    check(chat);
    if (chat && chat->request.messages.empty()) std::abort();
    const auto embeddings = knap::api::decode_embeddings(*reader);
    check(embeddings);
    if (embeddings && embeddings->input.empty()) std::abort();
    check(knap::api::decode_scan(*reader));
  }
  return 0;
}
