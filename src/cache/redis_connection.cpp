#include "redis_connection.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/connect.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/write.hpp>

#include "knap/observe/log.hpp"

namespace knap::cache {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using AsioError = boost::system::error_code;
using std::chrono::milliseconds;

constexpr milliseconds kConnectMax{500};
/// A Redis that owes an answer for so long is taken for dead.
constexpr milliseconds kSilenceMax{1'000};
constexpr milliseconds kLook{50};
constexpr milliseconds kPauseFirst{100}, kPauseMax{5'000};
constexpr std::size_t kWaitingMax = 10'000;
constexpr std::size_t kQueuedBytesMax = 32U << 20;
constexpr std::size_t kReadBytes = 64U << 10;

}  // namespace

RedisConnection::RedisConnection(asio::io_context& context, asio::ssl::context* tls,
                                 RedisAddress address, RedisLogin login, Push push)
    : context_(context),
      tls_(tls),
      address_(std::move(address)),
      login_(std::move(login)),
      push_(std::move(push)),
      timer_(context) {}

bool RedisConnection::promising() const {
  return state_ != State::kIdle || SteadyClock::now() >= not_before_;
}

void RedisConnection::ask(std::string wire, int answers, Reply reply) {
  const auto fail = [&](ErrorCode code, std::string_view why) {
    asio::post(context_, [reply = std::move(reply),
                          error = make_error(code, fmt::format("Redis at {}: {}", address_.text(),
                                                               why))] { reply(error); });
  };
  if (!promising()) return fail(ErrorCode::kUnavailable, "not reached a moment ago");
  if (waiting_.size() >= kWaitingMax ||
      queued_.size() + held_.size() + wire.size() > kQueuedBytesMax)
    return fail(ErrorCode::kResourceExhausted, "too much waits for its answers");
  if (state_ == State::kIdle) connect();
  waiting_.push_back({answers, std::move(reply), SteadyClock::now()});
  watch();
  if (state_ == State::kReady) {
    queued_ += wire;
    flush();
  } else {
    held_ += wire;
  }
}

void RedisConnection::connect() {
  state_ = State::kConnecting;
  const std::uint64_t run = ++run_;
  resolver_ = std::make_unique<tcp::resolver>(context_);
  if (tls_ != nullptr) {
    secure_ = std::make_unique<asio::ssl::stream<tcp::socket>>(context_, *tls_);
  } else {
    plain_ = std::make_unique<tcp::socket>(context_);
  }
  resolver_->async_resolve(
      address_.host, address_.port,
      [self = shared_from_this(), run](const AsioError& error, const auto& found) {
        if (run != self->run_) return;
        if (error) return self->close(make_error(ErrorCode::kUnavailable, error.message()));
        auto& socket = self->secure_ ? self->secure_->next_layer() : *self->plain_;
        asio::async_connect(socket, found, [self, run](const AsioError& failed, const auto&) {
          if (run != self->run_) return;
          if (failed) return self->close(make_error(ErrorCode::kUnavailable, failed.message()));
          self->connected();
        });
      });
}

void RedisConnection::connected() {
  AsioError ignored;
  (secure_ ? secure_->next_layer() : *plain_).set_option(tcp::no_delay(true), ignored);
  if (!secure_) return begin();
  SSL_set_tlsext_host_name(secure_->native_handle(), address_.host.c_str());
  secure_->set_verify_callback(asio::ssl::host_name_verification(address_.host));
  secure_->async_handshake(asio::ssl::stream_base::client, [self = shared_from_this(),
                                                            run = run_](const AsioError& error) {
    if (run != self->run_) return;
    if (error) {
      return self->close(make_error(ErrorCode::kUnavailable, "TLS: " + error.message()));
    }
    self->begin();
  });
}

/// The greeting goes before what waits already, and its answers too.
void RedisConnection::begin() {
  std::vector<std::string> greeting;
  if (login_.password.empty()) {
    greeting.push_back(resp::command({"HELLO", "3"}));
  } else {
    greeting.push_back(resp::command(
        {"HELLO", "3", "AUTH", login_.user.empty() ? "default" : login_.user, login_.password}));
  }
  if (login_.database != 0)
    greeting.push_back(resp::command({"SELECT", std::to_string(login_.database)}));
  if (login_.read_replicas) greeting.push_back(resp::command({"READONLY"}));
  if (login_.tracking) greeting.push_back(resp::command({"CLIENT", "TRACKING", "ON", "NOLOOP"}));
  std::string wire;
  std::deque<Waiting> first;
  for (const std::string& command : greeting) {
    wire += command;
    first.push_back(
        {1,
         [this](const Result<resp::Value>& said) {
           // The connection holds its callbacks, so it is there when they are called.
           if (!said || said->type != resp::Value::Type::kError) return;
           close(make_error(ErrorCode::kPermissionDenied, "refuses the greeting: " + said->text));
         },
         SteadyClock::now()});
  }
  // Its answer is a push, which nobody waits for.
  if (!login_.channel.empty()) wire += resp::command({"SUBSCRIBE", login_.channel});
  for (Waiting& each : waiting_) first.push_back(std::move(each));
  waiting_ = std::move(first);
  state_ = State::kReady;
  pause_ = milliseconds(0);
  queued_ = wire + held_;
  held_.clear();
  flush();
  read();
}

template <typename Stream>
void RedisConnection::write_to(Stream& stream) {
  asio::async_write(stream, asio::buffer(sending_),
                    [self = shared_from_this(), run = run_](const AsioError& error, std::size_t) {
                      if (run != self->run_) return;
                      if (error)
                        return self->close(make_error(ErrorCode::kUnavailable, error.message()));
                      self->sending_.clear();
                      self->flush();
                    });
}

void RedisConnection::flush() {
  if (!sending_.empty() || queued_.empty()) return;
  sending_.swap(queued_);
  if (secure_) {
    write_to(*secure_);
  } else {
    write_to(*plain_);
  }
}

template <typename Stream>
void RedisConnection::read_from(Stream& stream) {
  part_.resize(kReadBytes);
  stream.async_read_some(asio::buffer(part_), [self = shared_from_this(), run = run_](
                                                  const AsioError& error, std::size_t bytes) {
    if (run != self->run_) return;
    if (error) return self->close(make_error(ErrorCode::kUnavailable, error.message()));
    self->take(bytes);
    if (run == self->run_) self->read();
  });
}

void RedisConnection::read() {
  if (secure_) {
    read_from(*secure_);
  } else {
    read_from(*plain_);
  }
}

void RedisConnection::take(std::size_t bytes) {
  input_.append(part_, 0, bytes);
  const std::uint64_t run = run_;
  std::size_t used = 0;
  for (;;) {
    auto found = resp::read(std::string_view(input_).substr(used));
    if (!found) return close(found.error());
    if (!*found) break;
    used += (*found)->bytes;
    answer(std::move((*found)->value));
    if (run != run_) return;
  }
  input_.erase(0, used);
}

void RedisConnection::answer(resp::Value value) {
  if (value.type == resp::Value::Type::kPush) {
    if (push_) push_(value);
    return;
  }
  if (waiting_.empty())
    return close(make_error(ErrorCode::kCorruptData, "an answer that nobody asked for"));
  if (--waiting_.front().answers > 0) return;
  const Reply reply = std::move(waiting_.front().reply);
  waiting_.pop_front();
  reply(std::move(value));
}

/// As long as answers are owed, looks from time to time whether one is overdue.
void RedisConnection::watch() {
  if (std::exchange(watching_, true)) return;
  timer_.expires_after(kLook);
  timer_.async_wait([self = shared_from_this(), run = run_](const AsioError& error) {
    if (error || run != self->run_) return;
    self->watching_ = false;
    if (self->waiting_.empty()) return;
    const bool connecting = self->state_ == State::kConnecting;
    const auto owed_for = SteadyClock::now() - self->waiting_.front().since;
    if (owed_for > (connecting ? kConnectMax : kSilenceMax)) {
      return self->close(make_error(ErrorCode::kUnavailable,
                                    connecting ? "no connection in time" : "it is silent"));
    }
    self->watch();
  });
}

void RedisConnection::close(const Error& why) {
  if (state_ == State::kIdle) return;
  const auto self = shared_from_this();
  ++run_;
  state_ = State::kIdle;
  pause_ = std::clamp(pause_ * 2, kPauseFirst, kPauseMax);
  not_before_ = SteadyClock::now() + pause_;
  AsioError ignored;
  timer_.cancel();
  watching_ = false;
  if (resolver_) resolver_->cancel();
  if (plain_) plain_->close(ignored);
  if (secure_) secure_->next_layer().close(ignored);
  // Handlers under way still refer to the streams: they go after them.
  asio::post(context_,
             [plain = std::shared_ptr<tcp::socket>(std::move(plain_)),
              secure = std::shared_ptr<asio::ssl::stream<tcp::socket>>(std::move(secure_)),
              sent = std::make_shared<std::string>(std::move(sending_)),
              part = std::make_shared<std::string>(std::move(part_))] {});
  plain_.reset();
  secure_.reset();
  sending_.clear();
  queued_.clear();
  held_.clear();
  input_.clear();
  part_.clear();
  const Error error{ErrorCode::kUnavailable,
                    fmt::format("Redis at {}: {}", address_.text(), why.message)};
  observe::log_warning("redis_connection_closed", error.message,
                       {{"pause_ms", std::int64_t{pause_.count()}}});
  std::deque<Waiting> failed;
  failed.swap(waiting_);
  asio::post(context_, [self, failed = std::move(failed), error] {
    for (const Waiting& each : failed) each.reply(error);
  });
}

}  // namespace knap::cache
