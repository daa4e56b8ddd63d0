#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "knap/base/mutex.hpp"
#include "route.hpp"

namespace knap::api {

/// A response of Server-Sent Events. It begins with its first event (or comment), so that what
/// fails before can still be answered with a status. Threads: safe.
class EventStream {
 public:
  explicit EventStream(const Call& call)
      : responder_(call.responder), head_(call.with_common(head())) {}

  /// False when the client has gone: stop. An empty name sends data only, as OpenAI's streams do.
  bool send(std::string_view name, std::string_view data) KNAP_EXCLUDES(mutex_);
  /// Ends the response; later sends are dropped.
  void end() KNAP_EXCLUDES(mutex_);
  bool begun() const KNAP_EXCLUDES(mutex_);
  /// A comment line when nothing was sent for `quiet`. False: ended or gone.
  bool keep_awake(std::chrono::milliseconds quiet) KNAP_EXCLUDES(mutex_);

  /// Fields of such a response.
  static http::Response head();
  /// One event as it is sent.
  static std::string event(std::string_view name, std::string_view data);

 private:
  bool write(std::string_view bytes) KNAP_REQUIRES(mutex_);

  mutable Mutex mutex_;
  const std::shared_ptr<http::Responder> responder_;
  const http::Response head_;
  bool begun_ KNAP_GUARDED_BY(mutex_) = false;
  bool over_ KNAP_GUARDED_BY(mutex_) = false;
  SteadyClock::time_point last_ KNAP_GUARDED_BY(mutex_) = SteadyClock::now();
};

/// Keeps proxies from closing quiet streams: a comment line every `interval`. Threads: safe.
class Heartbeat {
 public:
  explicit Heartbeat(std::chrono::milliseconds interval);
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;
  void watch(const std::shared_ptr<EventStream>& stream) KNAP_EXCLUDES(mutex_);

 private:
  void run() KNAP_EXCLUDES(mutex_);

  const std::chrono::milliseconds interval_;
  Mutex mutex_;
  CondVar wake_;
  std::vector<std::weak_ptr<EventStream>> streams_ KNAP_GUARDED_BY(mutex_);
  bool stopping_ KNAP_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace knap::api
