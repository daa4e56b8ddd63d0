#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "disk_cache.hpp"
#include "knap/base/mutex.hpp"
#include "knap/cache/layers.hpp"
#include "redis_client.hpp"

namespace knap::cache {

/// Values in Redis, shared by all servers that use the same prefix.
///
/// A Redis that is slow or gone costs one find() its patience (20 ms); from then on it is left
/// alone (a circuit breaker) and asked on a thread of this cache's own, with growing pauses,
/// whether it is back. Values that come meanwhile are dropped.
///
/// Threads: safe. All connections live on one thread ("knap-redis").
class RedisCache {
 public:
  /// What another server, or Redis itself, tells. Called on the cache's thread: must not block.
  struct Listener {
    std::function<void(std::uint64_t hash)> on_changed;  ///< The value under that key.
    std::function<void()> on_all_changed;
    std::function<void(const Layers::Selection&)> on_invalidate;
    std::function<void()> on_clear;
  };
  /// Connects in the background. Errors: kInvalidArgument (address, prefix), kNotFound (CA file).
  static Result<std::unique_ptr<RedisCache>> open(RedisOptions options, Listener listener);
  ~RedisCache();
  RedisCache(const RedisCache&) = delete;
  RedisCache& operator=(const RedisCache&) = delete;

  std::optional<DiskCache::Value> get(std::string_view key, std::uint64_t hash);
  /// Sends a value; false: it is dropped, for the breaker is open or too much waits.
  bool put(std::string_view key, std::uint64_t hash, const DiskCache::Value& value);
  /// Erases from Redis what fits, and tells the other servers; returns how many. Reads all values
  /// with the prefix. Waits for kLongWait at most.
  std::uint64_t invalidate(const Layers::Selection& selection);
  void clear();

  struct Stats {
    bool open = false;  ///< The breaker lets requests through.
    std::uint64_t errors = 0, skipped = 0, timeouts = 0, dropped = 0, damaged = 0;
    std::uint64_t trips = 0, redirects = 0, refreshes = 0, told = 0;
  };
  Stats stats() const;

 private:
  struct Call;
  RedisCache(RedisOptions options, Listener listener);
  Status start();
  std::string name_of(std::string_view key, std::uint64_t hash) const;
  void on_push(const resp::Value& push);
  void on_message(const std::string& text);
  void trip();
  void probe();
  std::uint64_t sweep(const std::function<bool(std::string_view record)>& wanted);
  std::optional<resp::Value> wait_for(const std::function<void(RedisConnection::Reply)>& send,
                                      std::chrono::milliseconds most);
  void tell(const std::string& text);

  const RedisOptions options_;
  const Listener listener_;
  const std::string channel_;
  const std::string own_id_;
  boost::asio::io_context context_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::unique_ptr<boost::asio::ssl::context> tls_;
  std::unique_ptr<RedisClient> client_;
  boost::asio::steady_timer probe_timer_;
  std::chrono::milliseconds probe_pause_{0};  ///< Of the thread only.
  std::atomic<bool> broken_ = true;           ///< Until the first probe has been answered.
  std::atomic<std::uint64_t> pending_puts_ = 0;
  mutable Mutex mutex_;
  Stats stats_ KNAP_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace knap::cache
