#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "knap/http/server.hpp"
#include "outgoing.hpp"
#include "request_parser.hpp"

namespace knap::http {

class Connection;

/// What all connections of a server share.
struct ServerState {
  /// Request bodies held by all connections together; more are refused with 503.
  static constexpr std::uint64_t kMaxBodiesBytes = 512U << 20;

  Server::Options options;
  Handler handler;
  std::atomic<bool> stopping = false;
  std::atomic<std::uint64_t> bodies_bytes = 0;
  std::atomic<std::size_t> connections = 0;
  Mutex mutex;
  CondVar changed;  ///< connections fell.
};

/// One I/O thread's world. Connections keep it alive, so that responders may outlive the server.
struct Loop {
  boost::asio::io_context context{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{
      context.get_executor()};
  boost::asio::steady_timer sweep{context};
  std::unordered_set<Connection*> connections;  ///< Of the loop's thread only.
};

/// One accepted connection: reads requests, hands each to the handler, watches for the client while
/// it works, and goes on with the next. All methods but the responder's way through `outgoing()`
/// belong to the loop's thread.
class Connection : public std::enable_shared_from_this<Connection>, private OutgoingHooks {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;

  Connection(std::shared_ptr<Loop> loop, std::shared_ptr<ServerState> state, Socket socket,
             std::string peer);
  ~Connection() override;

  /// Serves until the end of the connection.
  boost::asio::awaitable<void> run();
  /// Answers 503 and closes.
  boost::asio::awaitable<void> turn_away();

  void check_deadlines(SteadyClock::time_point now);
  void begin_stop();
  void abort();

  Outgoing& outgoing() { return outgoing_; }
  bool on_loop_thread() const { return loop_->context.get_executor().running_in_this_thread(); }
  /// From any thread, before the response's last part.
  void close_after_response() { keep_alive_.store(false); }

 private:
  enum class Read { kBytes, kWoken, kEnd };
  enum class Next { kGoOn, kClose, kLinger };

  boost::asio::awaitable<Next> serve_one();
  boost::asio::awaitable<Next> answer(RequestParser& parser);
  boost::asio::awaitable<bool> response_sent();
  boost::asio::awaitable<Read> read_some(std::size_t most);
  boost::asio::awaitable<void> flush_when_writable();
  boost::asio::awaitable<void> linger();
  Next refuse(int status, std::string_view detail);
  bool take_body_budget(std::uint64_t bytes);
  void set_deadline(std::chrono::milliseconds from_now);
  void end_client();
  void close();

  void flush_later() override;
  void wake_later() override;
  void response_complete() override;

  const std::shared_ptr<Loop> loop_;
  const std::shared_ptr<ServerState> state_;
  Socket socket_;
  boost::asio::steady_timer wake_;
  Outgoing outgoing_;
  const std::string peer_;
  std::string input_;   ///< Received, not yet parsed.
  CancelToken cancel_;  ///< Of the request under way.
  std::atomic<SteadyClock::rep> deadline_;
  std::uint64_t body_budget_ = 0;
  std::atomic<bool> keep_alive_ = true;
  bool busy_ = false;
  bool ended_ = false;  ///< The client has closed its half.
  bool timed_out_ = false;
};

/// The responder of one request on a connection.
std::shared_ptr<Responder> make_responder(std::shared_ptr<Connection> connection, bool head_only,
                                          bool http_10, bool keep_alive);

}  // namespace knap::http
