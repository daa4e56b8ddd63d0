#pragma once

#include <functional>
#include <memory>
#include <string>

#include "knap/http/message.hpp"

namespace knap::http {

/// Where a server listens.
struct Endpoint {
  std::string unix_socket;  ///< Used when not empty.
  std::string host = "127.0.0.1";
  std::uint16_t port = 80;
  bool tls = false;       ///< Checked against the system's certificates.
  std::string base_path;  ///< Put before each path, e.g. "/v1".

  /// Reads "http://host:port/base", "https://...", "unix:/path". Errors: kInvalidArgument.
  static Result<Endpoint> parse(std::string_view url);
};

struct ClientRequest {
  std::string method = "GET";
  std::string path = "/";
  Fields fields;
  std::string body;
};

/// All clients of the process together have at most so many connections to other machines in use;
/// further callers wait within their deadline. Unix sockets do not count.
inline constexpr std::size_t kOutgoingMax = 100;
/// Who is told of each wait for one of them; an empty function: nobody. Threads: safe.
void measure_outgoing_waits(std::function<void(SteadyClock::duration)> record);

/// Blocking HTTP/1.1 client with a pool of kept-alive connections.
///
/// Threads: safe. At most max_connections at once; more callers wait within their deadline. No
/// retries of its own but one on a kept connection that the server had closed before a byte of the
/// answer came.
class Client {
 public:
  struct Options {
    std::size_t max_connections = 16;
    std::uint64_t max_body_bytes = 256U << 20;
    std::chrono::milliseconds connect_timeout{2'000};
  };
  static std::unique_ptr<Client> create(Endpoint endpoint, Options options);
  virtual ~Client() = default;

  /// Errors: kUnavailable (cannot connect, connection broke), kDeadlineExceeded, kCancelled,
  /// kCorruptData, kResourceExhausted. The cancel token is looked at at least every 20 ms. A status
  /// of 400 or more is not an error here.
  virtual Result<Response> call(const ClientRequest& request, Deadline deadline,
                                const CancelToken& cancel) = 0;

  /// The same with the body handed over as it arrives (chunked or not), of any length. on_chunk
  /// returns false to stop: kCancelled.
  virtual Result<Response> stream(const ClientRequest& request, Deadline deadline,
                                  const CancelToken& cancel,
                                  const std::function<bool(std::string_view)>& on_chunk) = 0;
};

}  // namespace knap::http
