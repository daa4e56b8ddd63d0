#include "runner/answer_writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <iterator>
#include <utility>

#include "knap/base/json_text.hpp"
#include "knap/base/text.hpp"
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

json::object chance_object(const TokenChance& chance) {
  json::array bytes;
  for (const char c : chance.bytes) bytes.emplace_back(static_cast<unsigned char>(c));
  return {
      {"token", text::is_valid_utf8(chance.bytes) ? chance.bytes : text::repair_utf8(chance.bytes)},
      {"logprob", chance.logprob},
      {"bytes", std::move(bytes)}};
}

}  // namespace

AnswerWriter::AnswerWriter(Options options, CancelToken cancel,
                           std::shared_ptr<http::Responder> responder, ThreadPool& pool)
    : options_(std::move(options)),
      id_(fmt::format("chatcmpl-{}", options_.number)),
      created_(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())),
      cancel_(std::move(cancel)),
      responder_(std::move(responder)),
      pool_(pool),
      tool_reader_(options_.tools) {}

void AnswerWriter::on_text(std::string text, const Outcome& so_far,
                           std::vector<TokenChance> chances) {
  push({.text = std::move(text),
        .so_far = so_far,
        .chances = std::move(chances),
        .end = std::nullopt});
}

void AnswerWriter::on_end(const Result<Outcome>& outcome) {
  push({.text = {}, .so_far = {}, .chances = {}, .end = outcome});
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
        std::ranges::move(waiting_.front().chances, std::back_inserter(event.chances));
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
  for (const TokenChance& chance : event.chances) {
    json::object entry = chance_object(chance);
    json::array top;
    for (const TokenChance& other : chance.top) top.push_back(chance_object(other));
    entry["top_logprobs"] = std::move(top);
    chances_.push_back(std::move(entry));
  }
  if (options_.tools.empty()) return take({event.text, {}}, event.so_far);
  return take(tool_reader_.push(event.text), event.so_far);
}

bool AnswerWriter::take(ToolCallReader::Read read, const Outcome& so_far) {
  if (!options_.stream) {
    text_ += read.text;
    std::ranges::move(read.calls, std::back_inserter(calls_));
    return true;
  }
  if (!read.text.empty()) {
    const json::object usage = options_.running_usage ? usage_of(so_far) : json::object{};
    if (!begin() || !send_chunk(json::object{{"content", read.text}}, nullptr,
                                options_.running_usage ? &usage : nullptr))
      return false;
  }
  for (ToolCall& call : read.calls) {
    if (!begin() || !send_call(call, calls_.size())) return false;
    calls_.push_back(std::move(call));
  }
  return true;
}

json::object AnswerWriter::call_object(const ToolCall& call, std::size_t number) const {
  return {{"id", fmt::format("call_{:x}_{}_{}", created_, options_.number, number)},
          {"type", "function"},
          {"function", json::object{{"name", call.name}, {"arguments", call.arguments}}}};
}

bool AnswerWriter::send_call(const ToolCall& call, std::size_t number) {
  json::object entry = call_object(call, number);
  entry["index"] = number;
  return send_chunk(json::object{{"tool_calls", json::array{std::move(entry)}}}, nullptr, nullptr);
}

json::value AnswerWriter::take_chances() {
  if (!options_.logprobs) return nullptr;
  return json::object{{"content", std::exchange(chances_, {})}, {"refusal", nullptr}};
}

const char* AnswerWriter::finish_reason(const Outcome& outcome) const {
  return calls_.empty() ? outcome.finish_reason.c_str() : "tool_calls";
}

bool AnswerWriter::begin() {
  if (begun_) return true;
  begun_ = true;
  http::Response head;
  head.fields.set("Content-Type", "text/event-stream");
  head.fields.set("Cache-Control", "no-store");
  responder_->begin(std::move(head));
  json::array chances = std::exchange(chances_, {});  // these go with the text
  const bool sent =
      send_chunk(json::object{{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
  chances_ = std::move(chances);
  return sent;
}

bool AnswerWriter::finish(const Outcome& outcome) {
  if (!options_.tools.empty() && !take(tool_reader_.finish(), outcome)) return false;
  if (!options_.stream) {
    send_whole(outcome);
    return true;
  }
  const json::object usage = usage_of(outcome);
  if (!begin() || !send_chunk(json::object{}, finish_reason(outcome), nullptr)) return false;
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
  json::object choice{{"index", 0}, {"finish_reason", finish_reason(outcome)}};
  json::object message{{"role", "assistant"}, {"content", text_}};
  if (!calls_.empty()) {
    if (text_.empty()) message["content"] = nullptr;
    json::array calls;
    for (const ToolCall& call : calls_) calls.push_back(call_object(call, calls.size()));
    message["tool_calls"] = std::move(calls);
  }
  choice["message"] = std::move(message);
  choice["logprobs"] = take_chances();
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
    if (!chances_.empty()) choice["logprobs"] = take_chances();
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
