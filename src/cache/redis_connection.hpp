#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>

#include "knap/base/deadline.hpp"
#include "knap/base/result.hpp"
#include "resp.hpp"

namespace knap::cache {

struct RedisAddress {
  std::string host;
  std::string port;
  std::string text() const { return host + ":" + port; }
  auto operator<=>(const RedisAddress&) const = default;
};

/// How a connection begins.
struct RedisLogin {
  std::string user, password;  ///< Without a password none are sent.
  std::uint32_t database = 0;
  bool read_replicas = false;  ///< READONLY: a replica of a cluster answers.
  bool tracking = false;       ///< Tells when a value that was read here changes.
  std::string channel;         ///< Subscribed to; empty: none.
};

/// One connection to one Redis, opened when first asked: commands go out as they come (pipelined),
/// answers come back in their order.
///
/// Threads: all of it on the thread that runs the context. Callbacks are called there, each exactly
/// once, never from within ask().
class RedisConnection : public std::enable_shared_from_this<RedisConnection> {
 public:
  using Reply = std::function<void(Result<resp::Value>)>;
  using Push = std::function<void(const resp::Value&)>;

  /// @param tls  null: no TLS
  RedisConnection(boost::asio::io_context& context, boost::asio::ssl::context* tls,
                  RedisAddress address, RedisLogin login, Push push);

  const RedisAddress& address() const { return address_; }
  /// Answers: what Redis says, its errors too. Errors: kUnavailable (not reached, closed, silent
  /// for kSilenceMax), kResourceExhausted (too much waits already).
  /// @param words  one command, or several in a row whose last answer counts
  void ask(std::string wire, int answers, Reply reply);
  /// False for a while after it could not be reached: others may be asked instead.
  bool promising() const;
  void close(const Error& why);

 private:
  struct Waiting {
    int answers = 1;
    Reply reply;
    SteadyClock::time_point since;
  };
  enum class State { kIdle, kConnecting, kReady };

  void connect();
  void connected();
  void begin();
  void flush();
  void read();
  void take(std::size_t bytes);
  void answer(resp::Value value);
  void watch();
  template <typename Stream>
  void write_to(Stream& stream);
  template <typename Stream>
  void read_from(Stream& stream);

  boost::asio::io_context& context_;
  boost::asio::ssl::context* const tls_;
  const RedisAddress address_;
  const RedisLogin login_;
  const Push push_;

  State state_ = State::kIdle;
  std::uint64_t run_ = 0;  ///< Handlers of an earlier connection do nothing.
  SteadyClock::time_point not_before_{};
  std::chrono::milliseconds pause_{0};
  std::unique_ptr<boost::asio::ip::tcp::socket> plain_;
  std::unique_ptr<boost::asio::ssl::stream<boost::asio::ip::tcp::socket>> secure_;
  std::unique_ptr<boost::asio::ip::tcp::resolver> resolver_;
  boost::asio::steady_timer timer_;
  bool watching_ = false;
  std::deque<Waiting> waiting_;  ///< For answers, in order.
  std::string queued_;           ///< Not sent yet.
  std::string sending_;
  std::string held_;  ///< Commands that came before the greeting was over.
  std::string input_, part_;
};

}  // namespace knap::cache
