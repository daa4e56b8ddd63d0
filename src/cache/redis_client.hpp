#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "knap/cache/layers.hpp"
#include "redis_connection.hpp"

namespace knap::cache {

/// Errors: kInvalidArgument.
Result<RedisAddress> parse_redis_address(std::string_view text);

/// One Redis, a cluster of them, or the one that sentinels name: finds who must be asked, and asks
/// again where it has moved.
///
/// Threads: all on the thread that runs the context. Callbacks are called there, once each.
class RedisClient {
 public:
  using Reply = RedisConnection::Reply;

  RedisClient(boost::asio::io_context& context, boost::asio::ssl::context* tls,
              const RedisOptions& options, std::vector<RedisAddress> addresses, std::string channel,
              RedisConnection::Push push);

  enum class Access { kRead, kWrite };
  /// Asks whoever holds the key. Errors: as RedisConnection::ask; redirected too often.
  void ask(std::string_view key, Access access, std::string wire, Reply reply);
  /// Asks one, whoever it is: for what all of them pass on.
  void ask_any(std::string wire, Reply reply);
  /// Asks every master; the reply comes once for each of them.
  void ask_masters(const std::string& wire, const Reply& reply);
  /// To the master that it came from, for what goes on there (SCAN).
  void ask_at(const RedisAddress& address, std::string wire, Reply reply);
  std::vector<RedisAddress> masters() const;
  /// Learns the slots or the master; also done when an answer shows that they have changed.
  void refresh();
  std::uint64_t redirects() const { return redirects_; }  ///< From any thread, as the next.
  std::uint64_t refreshes() const { return refreshes_; }
  void close();

 private:
  using Connection = std::shared_ptr<RedisConnection>;
  struct Shard {
    RedisAddress master;
    std::vector<RedisAddress> replicas;
  };
  struct Asking {
    std::string wire;
    std::uint16_t slot = 0;
    Access access = Access::kRead;
    Reply reply;
    int redirects = 0;
    std::size_t tried = 0;  ///< Of the shard's servers.
  };

  Connection connection(const RedisAddress& address);
  Connection sentinel(const RedisAddress& address);
  void send(const std::shared_ptr<Asking>& asking);
  void send_to(const Connection& to, const std::shared_ptr<Asking>& asking, bool asking_first);
  void take(const std::shared_ptr<Asking>& asking, Result<resp::Value> said);
  bool follow(const std::shared_ptr<Asking>& asking, const std::string& error);
  std::vector<RedisAddress> candidates(std::uint16_t slot, Access access) const;
  void learn_slots(std::size_t attempt);
  void learn_master(std::size_t attempt);
  bool take_slots(const resp::Value& said, const RedisAddress& from);
  void learned();

  boost::asio::io_context& context_;
  boost::asio::ssl::context* const tls_;
  const RedisOptions& options_;
  const std::vector<RedisAddress> addresses_;
  const std::string channel_;
  const RedisConnection::Push push_;

  std::map<RedisAddress, Connection> connections_, sentinels_;
  std::vector<Shard> shards_;
  std::array<std::uint16_t, resp::kSlots> shard_of_{};  ///< kNoShard: nobody's.
  bool learning_ = false;
  SteadyClock::time_point learned_{};
  std::atomic<std::uint64_t> redirects_ = 0, refreshes_ = 0;
};

}  // namespace knap::cache
