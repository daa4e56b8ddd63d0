#include "runner/read_ahead.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>

#include "knap/base/json_text.hpp"
#include "runner/chat_request.hpp"
#include "runner/service.hpp"

namespace knap::models::runner {
namespace {

namespace json = boost::json;

constexpr std::size_t kTextsMax = 64;
constexpr std::size_t kTextBytesMax = 64U << 10;

}  // namespace

Result<ReadAheadRequest> parse_read_ahead_request(const std::string& text) {
  const auto wrong = [](std::string message) {
    return make_error(ErrorCode::kInvalidArgument, std::move(message));
  };
  boost::system::error_code error;
  const json::value root = json::parse(text, error);
  if (error || !root.is_object()) return wrong("the body is not a JSON object");
  const json::object& body = root.get_object();
  ReadAheadRequest request;
  const auto* texts = body.if_contains("texts");
  if (texts == nullptr || !texts->is_array() || texts->get_array().empty() ||
      texts->get_array().size() > kTextsMax)
    return wrong(fmt::format("'texts' must be a list of 1 to {} passages", kTextsMax));
  for (const json::value& each : texts->get_array()) {
    if (!each.is_string() || each.get_string().empty() || each.get_string().size() > kTextBytesMax)
      return wrong(fmt::format("each of 'texts' has 1 to {} bytes", kTextBytesMax));
    request.texts.emplace_back(each.get_string());
  }
  KNAP_TRY(const WorkTerms terms, read_work_terms(body, Urgency::kBackground));
  request.urgency = terms.urgency;
  request.threads = terms.threads;
  request.deadline = terms.deadline;
  return request;
}

json::object passages_object(const AnswerLoop::Stats& stats) {
  const PassageStore::Stats& passages = stats.passages;
  return {{"hits", passages.hits},
          {"misses", passages.misses},
          {"read_ahead", passages.read_ahead},
          {"evicted", passages.evicted},
          {"damaged", passages.damaged},
          {"held", passages.held},
          {"memory_bytes", passages.memory_bytes},
          {"on_disk", passages.on_disk},
          {"disk_bytes", passages.disk_bytes},
          {"saved_tokens", stats.known_tokens}};
}

PassageReader::PassageReader(AnswerLoop& loop, std::shared_ptr<http::Responder> responder)
    : loop_(loop), responder_(std::move(responder)) {}

void PassageReader::start(const ReadAheadRequest& request, Deadline deadline,
                          const CancelToken& cancel) {
  {
    MutexLock lock(mutex_);
    open_ = request.texts.size() + 1;  // one for this call: nothing ends before all are taken in
  }
  for (const std::string& text : request.texts) {
    auto refused = loop_.read_ahead(text, request.urgency, request.threads, deadline, cancel,
                                    shared_from_this());
    if (refused) on_end(std::move(refused->error));
  }
  finish();
}

void PassageReader::on_end(const Result<Outcome>& outcome) {
  {
    MutexLock lock(mutex_);
    if (!outcome) {
      ++failed_;
      error_ = outcome.error();
    } else {
      ++(outcome->prompt_tokens > 0 ? read_ : held_);
      tokens_ += outcome->prompt_tokens;
    }
  }
  finish();
}

void PassageReader::finish() {
  json::object body;
  std::optional<Error> error;
  {
    MutexLock lock(mutex_);
    if (--open_ > 0) return;
    if (read_ + held_ == 0) error = error_;
    body = {{"read", read_}, {"held", held_}, {"failed", failed_}, {"tokens", tokens_}};
  }
  responder_->send(error ? error_response(*error) : http::Response::json(200, json_text(body)));
}

}  // namespace knap::models::runner
