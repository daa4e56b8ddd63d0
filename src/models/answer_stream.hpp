#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <boost/json/fwd.hpp>

#include "chat_generator.hpp"
#include "knap/models/models.hpp"
#include "sse.hpp"

namespace knap::models {

/// Gathers one streamed answer, in the shape its server speaks: OpenAI's events or Ollama's lines.
class AnswerStream {
 public:
  /// What is passed must outlive it.
  AnswerStream(ChatShape shape, SteadyClock::time_point begin, const GenerateRequest& request,
               const std::function<bool(std::string_view)>& on_token)
      : shape_(shape), begin_(begin), request_(request), on_token_(on_token) {}

  /// False: nothing more is wanted.
  bool feed(std::string_view bytes);

  GenerateResult result;
  bool finished() const { return finished_; }      ///< The model said that it ended.
  bool stopped() const { return stopped_; }        ///< The listener did.
  const std::string& raw() const { return raw_; }  ///< The beginning, for error answers.
  const std::optional<Error>& failure() const { return failure_; }

 private:
  Status feed_lines(std::string_view bytes);
  bool event(std::string_view data);
  bool line(std::string_view data);
  bool fail(ErrorCode code, std::string message);
  bool read_choice(const boost::json::object& choice);
  bool take_piece(std::string_view piece);
  void read_logprobs(const boost::json::object& choice) const;
  bool read_calls(const boost::json::array& parts);
  bool read_whole_calls(const boost::json::array& calls);
  void read_usage(const boost::json::object& object);

  const ChatShape shape_;
  const SteadyClock::time_point begin_;
  const GenerateRequest& request_;
  const std::function<bool(std::string_view)>& on_token_;
  SseReader reader_;
  std::string rest_;  ///< Of Ollama's lines: the unfinished one.
  std::string raw_;
  std::optional<Error> failure_;
  std::size_t call_bytes_ = 0;
  bool finished_ = false, stopped_ = false;
};

}  // namespace knap::models
