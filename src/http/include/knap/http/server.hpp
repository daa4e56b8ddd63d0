#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "knap/http/message.hpp"

namespace knap::http {

/// Writes one response, whole or as a stream. Safe from any thread, but from one at a time.
class Responder {
 public:
  virtual ~Responder() = default;
  /// Sends a whole response. Exactly one of send() and begin() is called, once.
  virtual void send(Response response) = 0;
  /// Starts a streamed response (chunked); its body is the chunks that follow.
  virtual void begin(Response head) = 0;
  /// Appends to the stream. Blocks while more than 256 KiB wait to be sent.
  /// Errors: kCancelled (client gone or server stopping): stop working; kDeadlineExceeded (a client
  /// that does not read).
  virtual Status write(std::string_view chunk) = 0;
  virtual void end() = 0;
};

/// Takes a parsed request. Runs on an I/O thread and must not block: hand the work to a pool and
/// keep the responder. A responder destroyed without an answer sends 500.
using Handler = std::function<void(std::shared_ptr<const Request>, std::shared_ptr<Responder>)>;

/// HTTP/1.1 over TCP or a Unix socket, keep-alive, pipelining served in order.
///
/// Threads: methods are safe. Bad input never reaches the handler: 400 malformed, 408 slow sender,
/// 413 body over the limit, 431 header over the limit, 503 too many connections (with Retry-After).
class Server {
 public:
  struct Options {
    std::string host = "127.0.0.1";
    std::uint16_t port = 0;   ///< 0: any free one.
    std::string unix_socket;  ///< Path; then host and port are not used. Created with mode 0600.
    std::size_t io_threads = 1;
    std::size_t max_connections = 2'000;
    std::uint64_t max_body_bytes = 32U << 20;
    std::uint32_t max_header_bytes = 32U << 10;
    std::chrono::milliseconds header_timeout{10'000};
    std::chrono::milliseconds body_timeout{30'000};
    std::chrono::milliseconds idle_timeout{60'000};
    std::chrono::milliseconds write_timeout{30'000};
  };
  /// Listens. Errors: kAlreadyExists (address in use; says which and what to do),
  /// kPermissionDenied, kInvalidArgument.
  static Result<std::unique_ptr<Server>> start(Options options, Handler handler);
  virtual ~Server() = default;  ///< stop(0).

  virtual std::uint16_t port() const = 0;
  virtual std::size_t connections() const = 0;
  /// No new connections or requests; requests under way get `grace` to end, then their tokens are
  /// cancelled and the connections closed. Returns when all is closed.
  virtual void stop(std::chrono::milliseconds grace) = 0;
};

}  // namespace knap::http
