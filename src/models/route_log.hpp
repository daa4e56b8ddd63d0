#pragma once

#include <deque>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/mutex.hpp"
#include "knap/base/result.hpp"
#include "knap/models/route.hpp"

namespace knap::models {

/// The last choices of models, by request. Threads: safe.
class RouteLog {
 public:
  static constexpr std::size_t kRecordsMax = 1'000, kAttemptsMax = 16;

  void add(RouteRecord record);
  /// To the newest record of the request; nothing when it is not kept.
  void attempt(std::string_view request_id, RouteAttempt attempt);
  std::optional<RouteRecord> find(std::string_view request_id) const;

 private:
  mutable Mutex mutex_;
  std::deque<RouteRecord> records_ KNAP_GUARDED_BY(mutex_);
};

/// What was sent to which server, one JSON object a line, in a file of the owner's. Paths and lines
/// of notes, never their text. Threads: safe; one process.
class SentLog {
 public:
  /// At this size the file becomes NAME.1, in place of an older one.
  static constexpr std::uint64_t kBytesMax = 8U << 20;
  explicit SentLog(std::filesystem::path file) : file_(std::move(file)) {}

  struct Entry {
    std::string request_id, model, server;
    std::vector<NotePart> notes;
    std::uint64_t bytes = 0;  ///< Of all messages.
  };
  /// On disk when it returns. Errors: kIo; then nothing may be sent.
  Status write(const Entry& entry);

 private:
  const std::filesystem::path file_;  ///< Empty: nothing is written.
  Mutex mutex_;
};

}  // namespace knap::models
