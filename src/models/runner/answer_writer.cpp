#include "runner/answer_writer.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <chrono>
#include <utility>

#include "knap/base/json_text.hpp"
#include "runner/service.hpp"

namespace knap::models::runner {
namespace {

namespace json = boost::json;

json::object usage_of(const Outcome& outcome) {
  json::object usage;
  usage["prompt_tokens"] = outcome.prompt_tokens;
  usage["completion_tokens"] = outcome.completion_tokens;
  usage["total_tokens"] = outcome.prompt_tokens + outcome.completion_tokens;
  usage["prompt_tokens_details"] = json::object{{"cached_tokens", outcome.reused_tokens}};
  return usage;
}

}  // namespace

AnswerWriter::AnswerWriter(Options options, CancelToken cancel,
                           std::shared_ptr<http::Responder> responder, ThreadPool& pool)
    : options_(std::move(options)),
      id_(fmt::format("chatcmpl-{}", options_.number)),
      created_(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())),
      cancel_(std::move(cancel)),
      responder_(std::move(responder)),
      pool_(pool) {}

void AnswerWriter::on_text(std::string text, const Outcome& so_far) {
  push({.text = std::move(text), .so_far = so_far, .end = std::nullopt});
}

void AnswerWriter::on_end(const Result<Outcome>& outcome) {
  push({.text = {}, .so_far = {}, .end = outcome});
}

void AnswerWriter::push(Event event) {
  {
    MutexLock lock(mutex_);
    waiting_.push_back(std::move(event));
    if (std::exchange(writing_, true)) return;
  }
  // Each answer has at most one task, so the queue's limit stands for answers whose clients do not
  // read. Beyond it this one is given up: its responder tells the client by closing.
  if (!pool_.submit([self = shared_from_this()] { self->write_waiting(); })) cancel_.cancel();
}

void AnswerWriter::write_waiting() {
  for (;;) {
    Event event;
    {
      MutexLock lock(mutex_);
      if (waiting_.empty()) {
        writing_ = false;
        return;
      }
      event = std::move(waiting_.front());
      waiting_.pop_front();
      // What came while a slow client was written to goes out in one piece.
      while (!event.end && !waiting_.empty() && !waiting_.front().end) {
        event.text += waiting_.front().text;
        event.so_far = waiting_.front().so_far;
        waiting_.pop_front();
      }
    }
    if (broken_ || write(event)) continue;
    broken_ = true;
    cancel_.cancel();
  }
}

bool AnswerWriter::write(const Event& event) {
  if (event.end) {
    if (*event.end) return finish(**event.end);
    fail(event.end->error());
    return true;
  }
  if (!options_.stream) {
    text_ += event.text;
    return true;
  }
  const json::object usage = options_.running_usage ? usage_of(event.so_far) : json::object{};
  return begin() && send_chunk(json::object{{"content", event.text}}, nullptr,
                               options_.running_usage ? &usage : nullptr);
}

bool AnswerWriter::begin() {
  if (begun_) return true;
  begun_ = true;
  http::Response head;
  head.fields.set("Content-Type", "text/event-stream");
  head.fields.set("Cache-Control", "no-store");
  responder_->begin(std::move(head));
  return send_chunk(json::object{{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
}

bool AnswerWriter::finish(const Outcome& outcome) {
  if (!options_.stream) {
    send_whole(outcome);
    return true;
  }
  const json::object usage = usage_of(outcome);
  if (!begin() || !send_chunk(json::object{}, outcome.finish_reason.c_str(), nullptr)) return false;
  if (options_.include_usage && !send_chunk(std::nullopt, nullptr, &usage)) return false;
  if (!responder_->write("data: [DONE]\n\n")) return false;
  responder_->end();
  return true;
}

void AnswerWriter::fail(const Error& error) {
  if (!begun_) return responder_->send(error_response(error));
  // A client that has gone is told nothing; one that is there reads the error as an event.
  if (responder_->write(fmt::format("data: {}\n\n", error_response(error).body))) responder_->end();
}

void AnswerWriter::send_whole(const Outcome& outcome) {
  json::object body = envelope("chat.completion");
  json::object choice{{"index", 0}, {"finish_reason", outcome.finish_reason}};
  choice["message"] = json::object{{"role", "assistant"}, {"content", text_}};
  body["choices"] = json::array{std::move(choice)};
  body["usage"] = usage_of(outcome);
  responder_->send(http::Response::json(200, json_text(body)));
}

bool AnswerWriter::send_chunk(std::optional<json::object> delta, const char* finish_reason,
                              const json::object* usage) {
  json::object chunk = envelope("chat.completion.chunk");
  json::array choices;
  if (delta) {
    json::object choice{{"index", 0}, {"delta", *std::move(delta)}, {"finish_reason", nullptr}};
    if (finish_reason != nullptr) choice["finish_reason"] = finish_reason;
    choices.push_back(std::move(choice));
  }
  chunk["choices"] = std::move(choices);
  if (usage != nullptr) chunk["usage"] = *usage;
  return responder_->write(fmt::format("data: {}\n\n", json_text(chunk))).has_value();
}

json::object AnswerWriter::envelope(const char* kind) const {
  return {{"id", id_}, {"object", kind}, {"created", created_}, {"model", options_.model}};
}

}  // namespace knap::models::runner
