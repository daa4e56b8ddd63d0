#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/hash.hpp"
#include "knap/base/result.hpp"
#include "knap/cache/kind.hpp"
#include "knap/observe/metrics.hpp"

namespace knap::cache {

/// Where a value was found: also what responses say in `cached`.
enum class Layer : std::uint8_t { kMemory, kDisk, kRedis };
inline constexpr std::array kLayers{Layer::kMemory, Layer::kDisk, Layer::kRedis};
constexpr std::string_view to_string(Layer layer) {
  switch (layer) {
    case Layer::kMemory: return "l1";
    case Layer::kDisk: return "l2";
    case Layer::kRedis: return "l3";
  }
  return "l1";
}
/// As settings name it.
constexpr std::string_view name_of(Layer layer) {
  switch (layer) {
    case Layer::kMemory: return "memory";
    case Layer::kDisk: return "disk";
    case Layer::kRedis: return "redis";
  }
  return "memory";
}
constexpr std::size_t index_of(Layer layer) { return static_cast<std::size_t>(layer); }

/// Names a value. Whoever makes a key puts into it all that could change the value.
struct Key {
  Kind kind = Kind::kSearch;
  std::string
      bytes;  ///< At most 64 KiB; what invalidate() by pattern sees stands after the last 0.
  std::uint64_t hash = 0;

  Key() = default;
  Key(Kind key_kind, std::string key_bytes)
      : kind(key_kind), bytes(std::move(key_bytes)), hash(hash64(bytes)) {}
  /// What a person would recognise: the question.
  static std::string_view subject(std::string_view key_bytes) {
    return key_bytes.substr(key_bytes.rfind('\0') + 1);
  }
};

enum class RedisMode : std::uint8_t {
  kSingle,    ///< The first of the addresses that answers.
  kCluster,   ///< Any of the addresses tells who holds which keys.
  kSentinel,  ///< The addresses are sentinels, who know the master.
};
struct RedisOptions {
  RedisMode mode = RedisMode::kSingle;
  std::vector<std::string> addresses{"127.0.0.1:6379"};  ///< "HOST:PORT" or "[IPV6]:PORT".
  std::string user, password;
  std::string master_name = "mymaster";  ///< As the sentinels call it.
  std::uint32_t database = 0;
  bool tls = false;
  std::string ca_file;                     ///< PEM; empty: the system's.
  std::string prefix = "knap";             ///< Of all keys. Letters, digits, and - _ . :
  std::chrono::milliseconds patience{20};  ///< That a find() waits at most.
};

/// The layers above the source, as one: memory (L1), disk (L2), then Redis (L3), which several
/// servers share.
///
/// A value lives in a layer for at most the layer's lifetime, from when it came there, and for at
/// most its kind's, from when it was made. What is found lower is put into the layers above.
///
/// Threads: safe. find() may read the disk on the caller's thread and wait for Redis, at most its
/// patience; find_in_memory() and put() do not block.
class Layers {
 public:
  /// Zero: no limit.
  struct Lifetimes {
    std::array<std::chrono::seconds, kLayers.size()> layer{
        std::chrono::minutes(5), std::chrono::hours(1), std::chrono::hours(24)};
    std::array<std::chrono::seconds, kKinds.size()> kind{
        std::chrono::minutes(30), std::chrono::minutes(60), std::chrono::seconds(0),
        std::chrono::hours(24)};
  };
  struct Options {
    bool memory = true, disk = true;
    std::uint64_t memory_bytes = 256ULL << 20;
    std::uint64_t disk_bytes = 1ULL << 30;
    std::filesystem::path folder;  ///< Of the disk layer.
    std::optional<RedisOptions> redis;
    Lifetimes lifetimes;
  };
  /// A layer that cannot be opened is left out, with a line in the log: a cache stops no server.
  /// Errors: kInvalidArgument, kNotFound (settings of Redis that are wrong whatever it does).
  static Result<std::unique_ptr<Layers>> open(Options options, observe::Registry& metrics);
  virtual ~Layers() = default;

  struct Found {
    std::string value;
    Layer layer = Layer::kMemory;
    bool negative = false;
    std::uint32_t cost_us = 0;  ///< What making it took.
    /// It expires soon: true for one of those who find it, who should have it made anew.
    bool refresh = false;
  };
  /// L1 alone, without a lock. Only hits are counted: find() follows.
  virtual std::optional<Found> find_in_memory(const Key& key) = 0;
  virtual std::optional<Found> find(const Key& key) = 0;

  /// Whether find() would find it here, without counting and without asking Redis.
  virtual bool holds(const Key& key) = 0;

  enum class Reach {
    kProcess,  ///< The key means nothing after a restart: memory alone.
    kLasting,
  };
  struct Facts {
    std::uint32_t cost_us = 0;
    bool negative = false;  ///< It says that there is nothing: lives a tenth of the time.
    Reach reach = Reach::kLasting;
    std::vector<std::uint64_t> labels;  ///< label_of() what it was made of; at most 1,024 count.
  };
  virtual void put(const Key& key, std::string_view value, const Facts& facts) = 0;
  /// Takes a value out of L1 alone, by the hash of its key; of two keys with that hash either.
  virtual void forget_in_memory(std::uint64_t hash) = 0;

  struct Selection {
    std::optional<Kind> kind;
    std::optional<std::uint64_t> label;
    std::string pattern;  ///< Of the subject, with * and ?, case aside; empty: any.
    bool fits(std::string_view key_bytes, Kind of_kind,
              std::span<const std::uint64_t> labels) const;
  };
  /// Erases what fits all of it; returns how many values, each layer counted by itself. Reads the
  /// whole disk layer: seconds for gigabytes.
  virtual std::uint64_t invalidate(const Selection& selection) = 0;
  virtual void clear(std::optional<Layer> layer) = 0;
  /// Waits until what was put is on disk.
  virtual void flush() = 0;

  struct KindStats {
    std::uint64_t hits = 0, misses = 0, puts = 0, evictions = 0, expired = 0;
    std::uint64_t entries = 0, bytes = 0;  ///< By kind in memory alone.
    std::uint64_t evicted_age_ms = 0;      ///< Mean.
    std::uint64_t saved_ms = 0;            ///< What making the values of all hits had taken.
  };
  struct LayerStats {
    Layer layer = Layer::kMemory;
    bool open = false;
    std::uint64_t capacity_bytes = 0, bytes = 0, entries = 0;
    std::uint64_t evictions = 0, dropped = 0, damaged = 0, write_errors = 0;
    /// Of Redis: requests that were not made because it had failed, and how often that began;
    /// redirections followed; values that it or another server told to forget.
    std::uint64_t skipped = 0, trips = 0, redirects = 0, told = 0;
    std::chrono::seconds lifetime{};
    std::array<KindStats, kKinds.size()> kinds;
  };
  virtual std::array<LayerStats, kLayers.size()> stats() const = 0;
  /// What the layer in memory would have hit with another size.
  struct Advice {
    std::uint64_t asked = 0;  ///< Requests of a sample.
    struct Size {
      double factor = 1, hit_rate = 0;
      std::uint64_t bytes = 0;
    };
    std::vector<Size> sizes;  ///< Smallest first; empty: there is no such layer.
  };
  virtual Advice advice() const = 0;
  /// Brings gauges and counters up to date; called before they are read.
  virtual void refresh_metrics() = 0;
};

/// What values are erased by. @param what  "note", "tag", "vault"
std::uint64_t label_of(std::string_view what, std::string_view name);
/// '*' stands for any text, '?' for one byte; ASCII case aside. Cost: text times pattern at most.
bool matches_pattern(std::string_view text, std::string_view pattern);

}  // namespace knap::cache
