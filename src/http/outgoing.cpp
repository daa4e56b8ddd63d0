#include "outgoing.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>

namespace knap::http {

void Outgoing::start_response() {
  const MutexLock lock(mutex_);
  last_ = false;
  needs_wake_ = false;
}

std::size_t Outgoing::send_now(std::string_view head, std::string_view body) {
  std::size_t sent = 0;
  while (sent < head.size() + body.size()) {
    const std::string_view rest_head = head.substr(std::min(sent, head.size()));
    const std::string_view rest_body = body.substr(sent - std::min(sent, head.size()));
    std::array<iovec, 2> parts{};
    parts[0] = {const_cast<char*>(rest_head.data()), rest_head.size()};
    parts[1] = {const_cast<char*>(rest_body.data()), rest_body.size()};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = parts.size();
    const ssize_t count = ::sendmsg(socket_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count > 0) {
      sent += static_cast<std::size_t>(count);
      continue;
    }
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
      fail_locked(make_error(ErrorCode::kCancelled, "the client has gone"));
    }
    break;
  }
  return sent;
}

Status Outgoing::append(std::string_view head, std::string_view body, Part part,
                        WhenFull when_full) {
  const MutexLock lock(mutex_);
  if (!open_) return make_error(ErrorCode::kCancelled, "the connection is closed");
  if (error_) return *error_;
  if (half_ended_ && part == Part::kMore)
    return make_error(ErrorCode::kCancelled, "the client has gone");
  const std::size_t sent = waiting() == 0 ? send_now(head, body) : 0;
  if (error_) return *error_;
  if (sent < head.size()) queue_.append(head.substr(sent));
  queue_.append(body.substr(sent - std::min(sent, head.size())));
  if (part == Part::kLast) last_ = true;
  if (waiting() == 0) {
    note_complete();
    return {};
  }
  if (!flushing_) {
    flushing_ = true;
    blocked_since_ = SteadyClock::now();
    hooks_.flush_later();
  }
  if (part == Part::kLast || waiting() <= kMaxWaitingBytes) return {};
  if (when_full == WhenFull::kRefuse) {
    return make_error(ErrorCode::kResourceExhausted,
                      "the client reads slower than it is written to");
  }
  // The owner's sweep fails the connection after write_timeout_; the margin only guards against a
  // stopped owner.
  const Deadline patience = Deadline::after(write_timeout_ + std::chrono::seconds(5));
  while (open_ && !error_ && !half_ended_ && waiting() > kMaxWaitingBytes) {
    if (!progress_.wait_until(mutex_, patience) && patience.expired()) {
      return make_error(ErrorCode::kDeadlineExceeded, "the client does not read");
    }
  }
  if (error_) return *error_;
  if (!open_ || half_ended_) return make_error(ErrorCode::kCancelled, "the client has gone");
  return {};
}

Outgoing::Flush Outgoing::flush() {
  const MutexLock lock(mutex_);
  if (open_ && !error_ && waiting() > 0) {
    const std::size_t sent = send_now(std::string_view(queue_).substr(offset_), {});
    offset_ += sent;
    if (sent > 0) blocked_since_ = SteadyClock::now();
  }
  if (open_ && !error_ && waiting() > 0) {
    // Moving the rest to the front costs its length: done only when at least as much was sent.
    if (offset_ > queue_.size() / 2) {
      queue_.erase(0, offset_);
      offset_ = 0;
    }
    progress_.notify_all();
    return Flush::kBlocked;
  }
  queue_.clear();
  offset_ = 0;
  flushing_ = false;
  blocked_since_.reset();
  progress_.notify_all();
  if (open_ && !error_) note_complete();
  return Flush::kDone;
}

void Outgoing::note_complete() {
  if (!last_) return;
  hooks_.response_complete();
  if (needs_wake_) hooks_.wake_later();
}

bool Outgoing::complete(Wake wake) {
  const MutexLock lock(mutex_);
  if (last_ && waiting() == 0) return true;
  needs_wake_ = wake == Wake::kYes;
  return false;
}

bool Outgoing::broken() const {
  const MutexLock lock(mutex_);
  return !open_ || error_.has_value();
}

std::chrono::milliseconds Outgoing::blocked_for() const {
  const MutexLock lock(mutex_);
  if (!blocked_since_) return std::chrono::milliseconds(0);
  return std::chrono::duration_cast<std::chrono::milliseconds>(SteadyClock::now() -
                                                               *blocked_since_);
}

void Outgoing::fail_locked(Error error) {
  if (error_ || !open_) return;
  error_ = std::move(error);
  progress_.notify_all();
  hooks_.wake_later();
}

void Outgoing::fail(Error error) {
  const MutexLock lock(mutex_);
  fail_locked(std::move(error));
}

void Outgoing::reading_half_ended() {
  const MutexLock lock(mutex_);
  half_ended_ = true;
  progress_.notify_all();
}

void Outgoing::close() {
  const MutexLock lock(mutex_);
  open_ = false;
  progress_.notify_all();
}

}  // namespace knap::http
