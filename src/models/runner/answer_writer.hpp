#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "knap/base/mutex.hpp"
#include "knap/base/thread_pool.hpp"
#include "knap/http/server.hpp"
#include "runner/answer_loop.hpp"
#include "runner/tool_call_reader.hpp"

namespace knap::models::runner {

/// Writes one answer as a stream of chunks or as one object, on a pool of its own: a client that
/// reads slowly holds nobody up. The head goes out with the first text, so that an error before it
/// still has its status.
///
/// Threads: as a listener, called by the loop. What waits to be written is at most the answer.
class AnswerWriter final : public AnswerListener,
                           public std::enable_shared_from_this<AnswerWriter> {
 public:
  struct Options {
    std::string model;
    std::uint64_t number = 0;  ///< Of this answer; part of its id.
    bool stream = false, include_usage = false, running_usage = false;
    bool logprobs = false;
    std::vector<std::string> tools;  ///< Names of those that may be called.
  };
  AnswerWriter(Options options, CancelToken cancel, std::shared_ptr<http::Responder> responder,
               ThreadPool& pool);

  void on_text(std::string text, const Outcome& so_far, std::vector<TokenChance> chances) override
      KNAP_EXCLUDES(mutex_);
  void on_end(const Result<Outcome>& outcome) override KNAP_EXCLUDES(mutex_);

 private:
  struct Event {
    std::string text;
    Outcome so_far;
    std::vector<TokenChance> chances;
    std::optional<Result<Outcome>> end;
  };

  void push(Event event) KNAP_EXCLUDES(mutex_);
  void write_waiting() KNAP_EXCLUDES(mutex_);
  bool write(const Event& event);
  bool take(ToolCallReader::Read read, const Outcome& so_far);
  bool send_call(const ToolCall& call, std::size_t number);
  boost::json::object call_object(const ToolCall& call, std::size_t number) const;
  boost::json::value take_chances();
  bool begin();
  bool finish(const Outcome& outcome);
  void fail(const Error& error);
  void send_whole(const Outcome& outcome);
  const char* finish_reason(const Outcome& outcome) const;
  bool send_chunk(std::optional<boost::json::object> delta, const char* finish_reason,
                  const boost::json::object* usage);
  boost::json::object envelope(const char* kind) const;

  const Options options_;
  const std::string id_;
  const std::int64_t created_;
  const CancelToken cancel_;
  const std::shared_ptr<http::Responder> responder_;
  ThreadPool& pool_;
  // One task at a time writes: these are its own.
  bool begun_ = false, broken_ = false;
  std::string text_;
  ToolCallReader tool_reader_;
  std::vector<ToolCall> calls_;
  boost::json::array chances_;  ///< Those that have not been sent.

  Mutex mutex_;
  std::deque<Event> waiting_ KNAP_GUARDED_BY(mutex_);
  bool writing_ KNAP_GUARDED_BY(mutex_) = false;
};

}  // namespace knap::models::runner
