#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "knap/base/mutex.hpp"
#include "knap/base/thread_pool.hpp"
#include "knap/http/server.hpp"
#include "runner/answer_loop.hpp"

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
  };
  AnswerWriter(Options options, CancelToken cancel, std::shared_ptr<http::Responder> responder,
               ThreadPool& pool);

  void on_text(std::string text, const Outcome& so_far) override KNAP_EXCLUDES(mutex_);
  void on_end(const Result<Outcome>& outcome) override KNAP_EXCLUDES(mutex_);

 private:
  struct Event {
    std::string text;
    Outcome so_far;
    std::optional<Result<Outcome>> end;
  };

  void push(Event event) KNAP_EXCLUDES(mutex_);
  void write_waiting() KNAP_EXCLUDES(mutex_);
  bool write(const Event& event);
  bool begin();
  bool finish(const Outcome& outcome);
  void fail(const Error& error);
  void send_whole(const Outcome& outcome);
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

  Mutex mutex_;
  std::deque<Event> waiting_ KNAP_GUARDED_BY(mutex_);
  bool writing_ KNAP_GUARDED_BY(mutex_) = false;
};

}  // namespace knap::models::runner
