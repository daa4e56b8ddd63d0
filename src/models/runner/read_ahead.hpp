#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "knap/base/mutex.hpp"
#include "knap/http/server.hpp"
#include "runner/answer_loop.hpp"

namespace knap::models::runner {

/// A body of POST /v1/passages, which only Knap's own server sends: passages to read ahead.
struct ReadAheadRequest {
  std::vector<std::string> texts;
  Urgency urgency = Urgency::kBackground;
  std::size_t threads = 0;
  std::optional<std::chrono::milliseconds> deadline;
};

/// Errors: kInvalidArgument, naming the field.
Result<ReadAheadRequest> parse_read_ahead_request(const std::string& body);

/// Figures of a store of passages, for /stats and for who had some read.
boost::json::object passages_object(const AnswerLoop::Stats& stats);

/// Lets a loop read passages and answers when the last is done: how many were read, were held
/// already, and failed. Threads: safe.
class PassageReader final : public AnswerListener,
                            public std::enable_shared_from_this<PassageReader> {
 public:
  PassageReader(AnswerLoop& loop, std::shared_ptr<http::Responder> responder);
  /// Once. Answers by itself, with the error where no passage at all could be taken in.
  void start(const ReadAheadRequest& request, Deadline deadline, const CancelToken& cancel)
      KNAP_EXCLUDES(mutex_);

  void on_text(std::string, const Outcome&, std::vector<TokenChance>) override {}
  void on_end(const Result<Outcome>& outcome) override KNAP_EXCLUDES(mutex_);

 private:
  void finish() KNAP_EXCLUDES(mutex_);

  AnswerLoop& loop_;
  const std::shared_ptr<http::Responder> responder_;
  Mutex mutex_;
  std::size_t open_ KNAP_GUARDED_BY(mutex_) = 0;
  std::uint64_t read_ KNAP_GUARDED_BY(mutex_) = 0, held_ KNAP_GUARDED_BY(mutex_) = 0,
                      failed_ KNAP_GUARDED_BY(mutex_) = 0, tokens_ KNAP_GUARDED_BY(mutex_) = 0;
  std::optional<Error> error_ KNAP_GUARDED_BY(mutex_);
};

}  // namespace knap::models::runner
