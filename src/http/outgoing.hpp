#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "knap/base/deadline.hpp"
#include "knap/base/mutex.hpp"
#include "knap/base/result.hpp"

namespace knap::http {

/// What Outgoing asks of the thread that owns the socket. Called with Outgoing's lock held, from
/// any thread, and never after close(): implementations only post.
class OutgoingHooks {
 public:
  virtual ~OutgoingHooks() = default;
  virtual void flush_later() = 0;        ///< Call flush() when the socket takes bytes again.
  virtual void wake_later() = 0;         ///< Look at complete() and broken() again.
  virtual void response_complete() = 0;  ///< The whole response is with the kernel.
};

/// The sending half of a connection. The thread that answers hands its bytes to the kernel itself,
/// which saves waking the I/O thread; only what the kernel does not take waits here for it.
///
/// Threads: all methods are safe. The socket must stay open until close() has returned.
class Outgoing {
 public:
  /// Streams block above this many waiting bytes.
  static constexpr std::size_t kMaxWaitingBytes = 256U << 10;

  enum class Part { kMore, kLast };
  enum class WhenFull { kBlock, kRefuse };

  Outgoing(int socket, OutgoingHooks& hooks, std::chrono::milliseconds write_timeout)
      : socket_(socket), hooks_(hooks), write_timeout_(write_timeout) {}

  void start_response() KNAP_EXCLUDES(mutex_);

  /// Sends or queues head and body. Errors: kCancelled (gone), kDeadlineExceeded (the other side
  /// does not read), kResourceExhausted (full and told not to block).
  Status append(std::string_view head, std::string_view body, Part part, WhenFull when_full)
      KNAP_EXCLUDES(mutex_);

  enum class Flush { kDone, kBlocked };
  Flush flush() KNAP_EXCLUDES(mutex_);

  /// True when the response under way has been sent; else, if asked, its end will call
  /// wake_later().
  enum class Wake { kNo, kYes };
  bool complete(Wake wake) KNAP_EXCLUDES(mutex_);

  bool broken() const KNAP_EXCLUDES(mutex_);
  /// How long the other side has taken nothing although bytes wait.
  std::chrono::milliseconds blocked_for() const KNAP_EXCLUDES(mutex_);

  /// The response cannot go on; writers return with this error and the owner is woken.
  void fail(Error error) KNAP_EXCLUDES(mutex_);
  /// Streams are no longer wanted, whole responses still go out: the other side has closed its
  /// sending half.
  void reading_half_ended() KNAP_EXCLUDES(mutex_);
  /// No more calls of hooks, no more use of the socket.
  void close() KNAP_EXCLUDES(mutex_);

 private:
  std::size_t waiting() const KNAP_REQUIRES(mutex_) { return queue_.size() - offset_; }
  std::size_t send_now(std::string_view head, std::string_view body) KNAP_REQUIRES(mutex_);
  void fail_locked(Error error) KNAP_REQUIRES(mutex_);
  void note_complete() KNAP_REQUIRES(mutex_);

  const int socket_;
  OutgoingHooks& hooks_;
  const std::chrono::milliseconds write_timeout_;
  mutable Mutex mutex_;
  CondVar progress_;
  std::string queue_ KNAP_GUARDED_BY(mutex_);
  std::size_t offset_ KNAP_GUARDED_BY(mutex_) = 0;
  std::optional<SteadyClock::time_point> blocked_since_ KNAP_GUARDED_BY(mutex_);
  std::optional<Error> error_ KNAP_GUARDED_BY(mutex_);
  bool open_ KNAP_GUARDED_BY(mutex_) = true;
  bool half_ended_ KNAP_GUARDED_BY(mutex_) = false;
  bool flushing_ KNAP_GUARDED_BY(mutex_) = false;
  bool last_ KNAP_GUARDED_BY(mutex_) = true;
  bool needs_wake_ KNAP_GUARDED_BY(mutex_) = false;
};

}  // namespace knap::http
