#include "connection.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "wire.hpp"

namespace knap::http {
namespace {

namespace asio = boost::asio;
using AsioError = boost::system::error_code;

constexpr std::size_t kReadBytes = 8U << 10;
constexpr std::size_t kBodyReadBytes = 64U << 10;
/// Requests sent ahead while one is answered; above, the connection is not read until the answer is
/// out.
constexpr std::size_t kMaxPipelinedBytes = 64U << 10;
/// A chunk's head with its extensions must fit.
constexpr std::size_t kMaxUnparsedBytes = 64U << 10;
/// Each received byte buys time: a sender of less than this is slow.
constexpr std::uint64_t kMinBodyBytesPerSecond = 64U << 10;
/// After a refusal the rest of the request is read away for this long, or the answer could be lost
/// in a reset.
constexpr std::chrono::milliseconds kLingerTime{2'000};
constexpr std::size_t kLingerBytes = 64U << 20;

constexpr SteadyClock::rep kNoDeadline = SteadyClock::time_point::max().time_since_epoch().count();

SteadyClock::rep ticks(SteadyClock::time_point point) { return point.time_since_epoch().count(); }

}  // namespace

Connection::Connection(std::shared_ptr<Loop> loop, std::shared_ptr<ServerState> state,
                       Socket socket, std::string peer)
    : loop_(std::move(loop)),
      state_(std::move(state)),
      socket_(std::move(socket)),
      wake_(loop_->context),
      outgoing_(socket_.native_handle(), *this, state_->options.write_timeout),
      peer_(std::move(peer)),
      deadline_(kNoDeadline) {}

Connection::~Connection() = default;

asio::awaitable<void> Connection::run() {
  const auto self = shared_from_this();
  loop_->connections.insert(this);
  try {
    Next next = Next::kGoOn;
    while (next == Next::kGoOn) next = co_await serve_one();
    if (next == Next::kLinger) co_await linger();
  } catch (...) {
    // Out of memory, or a handler that broke its promise not to throw: this connection ends, the
    // server lives.
    cancel_.cancel();
  }
  loop_->connections.erase(this);
  close();
}

asio::awaitable<void> Connection::turn_away() {
  const auto self = shared_from_this();
  loop_->connections.insert(this);
  refuse(503, "the server has too many connections: try again in a second");
  co_await linger();
  loop_->connections.erase(this);
  close();
}

asio::awaitable<Connection::Next> Connection::serve_one() {
  RequestParser parser({state_->options.max_header_bytes, state_->options.max_body_bytes});
  bool started = false;
  bool in_body = false;
  set_deadline(state_->options.idle_timeout);
  for (;;) {
    if (!input_.empty()) {
      if (!started) set_deadline(state_->options.header_timeout);
      started = true;
      std::size_t consumed = 0;
      const RequestParser::State parsed = parser.feed(input_, consumed);
      input_.erase(0, consumed);
      if (!take_body_budget(parsed == RequestParser::State::kFailed ? 0 : parser.body_bytes())) {
        co_return refuse(503, "too many large requests at once: try again in a second");
      }
      if (parsed == RequestParser::State::kFailed)
        co_return refuse(parser.status(), parser.detail());
      if (parsed == RequestParser::State::kDone) co_return co_await answer(parser);
      if (parsed == RequestParser::State::kHeader) {
        in_body = true;
        set_deadline(state_->options.body_timeout);
        if (!input_.empty()) continue;
        if (parser.expects_continue()) {
          (void)outgoing_.append("HTTP/1.1 100 Continue\r\n\r\n", {}, Outgoing::Part::kMore,
                                 Outgoing::WhenFull::kRefuse);
        }
      }
      if (input_.size() >= state_->options.max_header_bytes + kMaxUnparsedBytes) {
        co_return refuse(400, "malformed request: a part without end");
      }
    }
    if (!started && state_->stopping.load()) co_return Next::kClose;
    const std::size_t before = input_.size();
    const Read read = co_await read_some(in_body ? kBodyReadBytes : kReadBytes);
    if (read == Read::kEnd || outgoing_.broken()) co_return Next::kClose;
    if (timed_out_) {
      if (!started && input_.empty()) co_return Next::kClose;
      co_return refuse(408, "the request came too slowly");
    }
    if (in_body) {
      const auto bought =
          std::chrono::microseconds((input_.size() - before) * 1'000'000 / kMinBodyBytesPerSecond);
      deadline_ += SteadyClock::duration(bought).count();
    }
  }
}

asio::awaitable<Connection::Next> Connection::answer(RequestParser& parser) {
  const bool keep = parser.keep_alive() && !state_->stopping.load();
  auto request = std::make_shared<Request>(parser.take());
  request->peer = peer_;
  request->received = SteadyClock::now();
  cancel_ = request->cancel;
  keep_alive_.store(keep);
  outgoing_.start_response();
  deadline_.store(kNoDeadline);
  timed_out_ = false;
  busy_ = true;
  auto responder =
      make_responder(shared_from_this(), request->method == "HEAD", parser.is_http_10(), keep);
  state_->handler(std::move(request), std::move(responder));
  const bool sent = co_await response_sent();
  busy_ = false;
  take_body_budget(0);
  if (input_.empty() && input_.capacity() > kBodyReadBytes) input_ = {};
  if (!sent || ended_) co_return Next::kClose;
  if (!keep_alive_.load()) co_return Next::kLinger;
  co_return Next::kGoOn;
}

asio::awaitable<bool> Connection::response_sent() {
  for (;;) {
    const bool wake = !input_.empty() || ended_ || !keep_alive_.load();
    if (outgoing_.complete(wake ? Outgoing::Wake::kYes : Outgoing::Wake::kNo)) co_return true;
    if (outgoing_.broken()) {
      cancel_.cancel();
      co_return false;
    }
    if (ended_ || input_.size() >= kMaxPipelinedBytes) {
      AsioError error;
      wake_.expires_at(SteadyClock::time_point::max());
      co_await wake_.async_wait(asio::redirect_error(asio::use_awaitable, error));
      continue;
    }
    if (co_await read_some(kReadBytes) == Read::kEnd) end_client();
  }
}

void Connection::end_client() {
  ended_ = true;
  cancel_.cancel();
  outgoing_.reading_half_ended();
}

asio::awaitable<Connection::Read> Connection::read_some(std::size_t most) {
  AsioError error;
  const std::size_t before = input_.size();
  input_.resize(before + most);
  const std::size_t count = co_await socket_.async_read_some(
      asio::buffer(input_.data() + before, most), asio::redirect_error(asio::use_awaitable, error));
  input_.resize(before + count);
  if (!error) co_return Read::kBytes;
  if (error == asio::error::operation_aborted && socket_.is_open()) co_return Read::kWoken;
  co_return Read::kEnd;
}

Connection::Next Connection::refuse(int status, std::string_view detail) {
  const Response response = problem_response(status, detail);
  outgoing_.start_response();
  (void)outgoing_.append(response_head(response, Persistence::kClose, Framing::kLength),
                         response.body, Outgoing::Part::kLast, Outgoing::WhenFull::kRefuse);
  return Next::kLinger;
}

asio::awaitable<void> Connection::linger() {
  if (outgoing_.broken()) co_return;
  AsioError error;
  socket_.shutdown(Socket::shutdown_send, error);
  set_deadline(kLingerTime);
  input_ = {};
  for (std::size_t discarded = 0; discarded < kLingerBytes && !timed_out_;) {
    if (state_->stopping.load() && discarded > 0) break;
    if (co_await read_some(kReadBytes) == Read::kEnd) break;
    discarded += input_.size();
    input_.clear();
  }
}

bool Connection::take_body_budget(std::uint64_t bytes) {
  const std::uint64_t total = state_->bodies_bytes += bytes - body_budget_;
  const bool grew = bytes > body_budget_;
  body_budget_ = bytes;
  return !grew || total <= ServerState::kMaxBodiesBytes;
}

void Connection::set_deadline(std::chrono::milliseconds from_now) {
  timed_out_ = false;
  deadline_.store(ticks(SteadyClock::now() + from_now));
}

void Connection::check_deadlines(SteadyClock::time_point now) {
  if (outgoing_.blocked_for() > state_->options.write_timeout) {
    outgoing_.fail(make_error(ErrorCode::kDeadlineExceeded, "the client does not read"));
    return;
  }
  if (ticks(now) < deadline_.load()) return;
  timed_out_ = true;
  AsioError error;
  socket_.cancel(error);
}

void Connection::begin_stop() {
  keep_alive_.store(false);
  if (busy_) {
    // Whoever ends the response must wake this side up, which then closes.
    if (outgoing_.complete(Outgoing::Wake::kYes)) wake_later();
    return;
  }
  AsioError error;
  socket_.cancel(error);
}

void Connection::abort() {
  cancel_.cancel();
  close();
  wake_.cancel();
}

void Connection::close() {
  outgoing_.close();
  take_body_budget(0);
  AsioError error;
  socket_.close(error);
}

void Connection::flush_later() {
  asio::post(loop_->context, [self = shared_from_this()] {
    asio::co_spawn(self->loop_->context, self->flush_when_writable(), asio::detached);
  });
}

asio::awaitable<void> Connection::flush_when_writable() {
  const auto self = shared_from_this();
  while (outgoing_.flush() == Outgoing::Flush::kBlocked) {
    AsioError error;
    co_await socket_.async_wait(Socket::wait_write,
                                asio::redirect_error(asio::use_awaitable, error));
  }
}

void Connection::wake_later() {
  asio::post(loop_->context, [self = shared_from_this()] {
    AsioError error;
    self->socket_.cancel(error);
    self->wake_.cancel();
  });
}

void Connection::response_complete() {
  deadline_.store(ticks(SteadyClock::now() + state_->options.idle_timeout));
}

}  // namespace knap::http
