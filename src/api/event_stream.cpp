#include "event_stream.hpp"

#include <algorithm>

namespace knap::api {

http::Response EventStream::head() {
  http::Response head = http::Response::text(200, "", "text/event-stream");
  head.fields.set("Cache-Control", "no-store");
  head.fields.set("X-Accel-Buffering", "no");  // nginx would hold events back.
  return head;
}

bool EventStream::write(std::string_view bytes) {
  if (over_) return false;
  if (!begun_) {
    begun_ = true;
    responder_->begin(head_);
  }
  last_ = SteadyClock::now();
  over_ = !responder_->write(bytes).has_value();
  return !over_;
}

std::string EventStream::event(std::string_view name, std::string_view data) {
  std::string bytes;
  bytes.reserve(name.size() + data.size() + 20);
  if (!name.empty()) bytes.append("event: ").append(name).append("\n");
  return bytes.append("data: ").append(data).append("\n\n");
}

bool EventStream::send(std::string_view name, std::string_view data) {
  const std::string bytes = event(name, data);
  const MutexLock lock(mutex_);
  return write(bytes);
}

void EventStream::end() {
  const MutexLock lock(mutex_);
  if (begun_) responder_->end();
  over_ = true;
}

bool EventStream::begun() const {
  const MutexLock lock(mutex_);
  return begun_;
}

bool EventStream::keep_awake(std::chrono::milliseconds quiet) {
  const MutexLock lock(mutex_);
  if (over_) return false;
  if (SteadyClock::now() - last_ < quiet) return true;
  return write(": still here\n\n");
}

Heartbeat::Heartbeat(std::chrono::milliseconds interval)
    : interval_(interval), thread_([this] { run(); }) {}

Heartbeat::~Heartbeat() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  thread_.join();
}

void Heartbeat::watch(const std::shared_ptr<EventStream>& stream) {
  const MutexLock lock(mutex_);
  streams_.push_back(stream);
}

void Heartbeat::run() {
  for (;;) {
    std::vector<std::weak_ptr<EventStream>> now;
    {
      const MutexLock lock(mutex_);
      if (!stopping_) wake_.wait_until(mutex_, Deadline::after(interval_ / 4));
      if (stopping_) return;
      std::erase_if(streams_, [](const auto& stream) { return stream.expired(); });
      now = streams_;
    }
    for (const auto& weak : now) {
      if (const auto stream = weak.lock()) stream->keep_awake(interval_);
    }
  }
}

}  // namespace knap::api
