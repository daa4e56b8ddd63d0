#include "redis_cache.hpp"

#include <pthread.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/post.hpp>

#include "disk_format.hpp"
#include "knap/base/hash.hpp"
#include "knap/observe/log.hpp"

namespace knap::cache {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

constexpr milliseconds kProbeFirst{250}, kProbeMax{10'000};
constexpr milliseconds kLongWait{10'000};  // of what people ask for by hand
constexpr std::uint64_t kPendingPutsMax = 1'000;
constexpr std::string_view kSweepCount = "1000";
constexpr int kSweepRoundsMax = 1'000'000;
/// Records in Redis are those of the disk's segments, all of this salt: nobody scans for them.
constexpr std::uint64_t kSalt = 0x6b6e61702d726473;
constexpr std::uint64_t kSecondSeed = 0x9e3779b97f4a7c15;
constexpr std::string_view kMessageClear = "clear", kMessageForget = "forget";

std::string encode(std::string_view key, std::uint64_t hash, const DiskCache::Value& value) {
  disk::Record record;
  record.kind = value.kind;
  record.negative = value.negative;
  record.cost_us = value.cost_us;
  record.written_ms = value.written_ms;
  record.expires_ms = value.expires_ms;
  record.hash = hash;
  record.key = key;
  record.value_bytes = static_cast<std::uint32_t>(value.bytes.size());
  constexpr std::size_t kCompressAbove = 1U << 10;
  const auto packed =
      value.bytes.size() > kCompressAbove ? disk::compress(value.bytes) : std::nullopt;
  record.compressed = packed.has_value();
  record.stored = packed ? std::string_view(*packed) : std::string_view(value.bytes);
  record.labels = {reinterpret_cast<const char*>(value.labels.data()),
                   value.labels.size() * sizeof(std::uint64_t)};
  std::string out;
  disk::append_record(record, kSalt, out);
  return out;
}

std::vector<std::uint64_t> labels_of(const disk::Record& record) {
  std::vector<std::uint64_t> labels(record.labels.size() / sizeof(std::uint64_t));
  if (!labels.empty()) std::memcpy(labels.data(), record.labels.data(), record.labels.size());
  return labels;
}

bool is_prefix(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == ':';
  });
}

/// "forget kind label pattern" as one server tells the others.
std::string message_of(const Layers::Selection& selection) {
  return fmt::format("{}\x1f{}\x1f{}\x1f{}", kMessageForget,
                     selection.kind ? std::to_string(index_of(*selection.kind)) : "",
                     selection.label ? std::to_string(*selection.label) : "", selection.pattern);
}

std::optional<Layers::Selection> selection_of(std::string_view text) {
  std::array<std::string, 4> parts;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::size_t end = i + 1 < parts.size() ? text.find('\x1f') : std::string_view::npos;
    parts[i] = text.substr(0, end);
    if (end == std::string_view::npos && i + 1 < parts.size()) return std::nullopt;
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  if (parts[0] != kMessageForget) return std::nullopt;
  Layers::Selection out;
  out.pattern = parts[3];
  if (parts[1].size() == 1 && parts[1][0] >= '0' &&
      static_cast<std::size_t>(parts[1][0] - '0') < kKinds.size())
    out.kind = kKinds[static_cast<std::size_t>(parts[1][0] - '0')];
  if (!parts[2].empty()) out.label = std::strtoull(parts[2].c_str(), nullptr, 10);
  return out;
}

}  // namespace

/// A question that a thread waits for; the answer may come after it has gone.
struct RedisCache::Call {
  Mutex mutex;
  CondVar done_signal;
  bool done KNAP_GUARDED_BY(mutex) = false;
  std::optional<resp::Value> value KNAP_GUARDED_BY(mutex);
};

RedisCache::RedisCache(RedisOptions options, Listener listener)
    : options_(std::move(options)),
      listener_(std::move(listener)),
      channel_(options_.prefix + ":forget"),
      own_id_(random_id()),
      work_(asio::make_work_guard(context_)),
      probe_timer_(context_) {}

Result<std::unique_ptr<RedisCache>> RedisCache::open(RedisOptions options, Listener listener) {
  if (!is_prefix(options.prefix)) {
    return make_error(ErrorCode::kInvalidArgument,
                      "cache.redis.prefix must be 1 to 64 letters, digits, or - _ . :");
  }
  std::unique_ptr<RedisCache> cache(new RedisCache(std::move(options), std::move(listener)));
  KNAP_CHECK_OK(cache->start());
  return cache;
}

Status RedisCache::start() {
  std::vector<RedisAddress> addresses;
  for (const std::string& text : options_.addresses) {
    KNAP_TRY(RedisAddress address, parse_redis_address(text));
    addresses.push_back(std::move(address));
  }
  if (addresses.empty())
    return make_error(ErrorCode::kInvalidArgument, "cache.redis.addresses names no server");
  if (options_.tls) {
    tls_ = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_client);
    boost::system::error_code error;
    if (options_.ca_file.empty()) {
      tls_->set_default_verify_paths(error);
    } else {
      tls_->load_verify_file(options_.ca_file, error);
    }
    if (error) {
      return make_error(ErrorCode::kNotFound,
                        fmt::format("cache.redis.ca_file: cannot read certificates from \"{}\": {}",
                                    options_.ca_file, error.message()));
    }
    tls_->set_verify_mode(asio::ssl::verify_peer);
  }
  client_ =
      std::make_unique<RedisClient>(context_, tls_.get(), options_, std::move(addresses), channel_,
                                    [this](const resp::Value& push) { on_push(push); });
  thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "knap-redis");
    context_.run();
  });
  asio::post(context_, [this] {
    client_->refresh();
    probe();
  });
  return {};
}

RedisCache::~RedisCache() {
  if (!thread_.joinable()) return;
  broken_ = true;
  asio::post(context_, [this] {
    probe_timer_.cancel();
    client_->close();
    work_.reset();
    asio::post(context_, [this] { context_.stop(); });
  });
  thread_.join();
}

/// Both hashes stand in the name, so that what Redis tells of a name finds the value in memory.
std::string RedisCache::name_of(std::string_view key, std::uint64_t hash) const {
  return fmt::format("{}:v1:{:016x}{:016x}", options_.prefix, hash, hash64(key, kSecondSeed));
}

std::optional<resp::Value> RedisCache::wait_for(
    const std::function<void(RedisConnection::Reply)>& send, milliseconds most) {
  const auto call = std::make_shared<Call>();
  asio::post(context_, [send, call] {
    send([call](Result<resp::Value> said) {
      const MutexLock lock(call->mutex);
      call->done = true;
      if (said) call->value = std::move(*said);
      call->done_signal.notify_all();
    });
  });
  const Deadline until = Deadline::after(most);
  const MutexLock lock(call->mutex);
  while (!call->done) {
    if (until.expired()) break;
    call->done_signal.wait_until(call->mutex, until);
  }
  if (call->done) {
    if (call->value && call->value->type != resp::Value::Type::kError)
      return std::move(call->value);
    const MutexLock counting(mutex_);
    ++stats_.errors;
    return std::nullopt;
  }
  const MutexLock counting(mutex_);
  ++stats_.timeouts;
  return std::nullopt;
}

std::optional<DiskCache::Value> RedisCache::get(std::string_view key, std::uint64_t hash) {
  if (broken_.load(std::memory_order_relaxed)) {
    const MutexLock lock(mutex_);
    ++stats_.skipped;
    return std::nullopt;
  }
  const std::string name = name_of(key, hash);
  auto said = wait_for(
      [this, name](RedisConnection::Reply reply) {
        client_->ask(name, RedisClient::Access::kRead, resp::command({"GET", name}),
                     std::move(reply));
      },
      options_.patience);
  if (!said) {
    trip();
    return std::nullopt;
  }
  if (said->type == resp::Value::Type::kNull) return std::nullopt;
  const auto parsed = disk::parse_record(said->text, kSalt);
  auto value = parsed ? disk::value_of(parsed->record)
                      : Result<std::string>(make_error(ErrorCode::kCorruptData, "no record"));
  if (!value) {
    const MutexLock lock(mutex_);
    ++stats_.damaged;
    return std::nullopt;
  }
  const disk::Record& record = parsed->record;
  if (record.key != key || record.erased) return std::nullopt;
  return DiskCache::Value{record.kind,       record.negative,   record.cost_us,   record.written_ms,
                          record.expires_ms, std::move(*value), labels_of(record)};
}

bool RedisCache::put(std::string_view key, std::uint64_t hash, const DiskCache::Value& value) {
  if (broken_.load(std::memory_order_relaxed) || pending_puts_ >= kPendingPutsMax ||
      value.bytes.size() > disk::kValueBytesMax || key.size() > disk::kKeyBytesMax) {
    const MutexLock lock(mutex_);
    ++stats_.dropped;
    return false;
  }
  ++pending_puts_;
  const std::string name = name_of(key, hash);
  const std::string record = encode(key, hash, value);
  std::string wire;
  if (value.expires_ms == 0) {
    wire = resp::command({"SET", name, record});
  } else {
    const std::int64_t left = std::max<std::int64_t>(1, value.expires_ms - value.written_ms);
    wire = resp::command({"SET", name, record, "PX", std::to_string(left)});
  }
  asio::post(context_, [this, name, wire = std::move(wire)]() mutable {
    client_->ask(name, RedisClient::Access::kWrite, std::move(wire),
                 [this](const Result<resp::Value>& said) {
                   --pending_puts_;
                   if (said && said->type != resp::Value::Type::kError) return;
                   const MutexLock lock(mutex_);
                   ++stats_.errors;
                 });
  });
  return true;
}

void RedisCache::trip() {
  if (broken_.exchange(true)) return;
  {
    const MutexLock lock(mutex_);
    ++stats_.trips;
  }
  observe::log_warning("redis_left_alone",
                       "Redis was too slow or failed: it is not asked until it "
                       "answers again");
  asio::post(context_, [this] { probe(); });
}

/// On the cache's thread: asks until an answer comes in time.
void RedisCache::probe() {
  const auto begin = SteadyClock::now();
  client_->ask_any(resp::command({"PING"}), [this, begin](const Result<resp::Value>& said) {
    const bool well = said && said->type != resp::Value::Type::kError &&
                      SteadyClock::now() - begin < options_.patience;
    if (well) {
      probe_pause_ = milliseconds(0);
      broken_ = false;
      return;
    }
    client_->refresh();
    probe_pause_ = std::clamp(probe_pause_ * 2, kProbeFirst, kProbeMax);
    probe_timer_.expires_after(probe_pause_);
    probe_timer_.async_wait([this](const boost::system::error_code& error) {
      if (!error) probe();
    });
  });
}

void RedisCache::on_push(const resp::Value& push) {
  if (push.items.size() >= 2 && push.items[0].text == "invalidate") {
    if (push.items[1].type == resp::Value::Type::kNull) {
      if (listener_.on_all_changed) listener_.on_all_changed();
      return;
    }
    for (const resp::Value& name : push.items[1].items) {
      const std::string_view text = name.text;
      const std::size_t at = options_.prefix.size() + std::string_view(":v1:").size();
      if (!text.starts_with(options_.prefix) || text.size() != at + 32) continue;
      const std::string digits(text.substr(at, 16));
      {
        const MutexLock lock(mutex_);
        ++stats_.told;
      }
      if (listener_.on_changed) listener_.on_changed(std::strtoull(digits.c_str(), nullptr, 16));
    }
    return;
  }
  if (push.items.size() == 3 && push.items[0].text == "message" && push.items[1].text == channel_)
    on_message(push.items[2].text);
}

/// "ID MESSAGE" of another server.
void RedisCache::on_message(const std::string& text) {
  const std::size_t space = text.find(' ');
  if (space == std::string::npos || text.substr(0, space) == own_id_) return;
  {
    const MutexLock lock(mutex_);
    ++stats_.told;
  }
  const std::string_view message = std::string_view(text).substr(space + 1);
  if (message == kMessageClear) {
    if (listener_.on_clear) listener_.on_clear();
  } else if (const auto selection = selection_of(message)) {
    if (listener_.on_invalidate) listener_.on_invalidate(*selection);
  }
}

void RedisCache::tell(const std::string& text) {
  wait_for([this, wire = resp::command({"PUBLISH", channel_, own_id_ + " " + text})](
               RedisConnection::Reply reply) { client_->ask_any(wire, std::move(reply)); },
           kLongWait);
}

std::uint64_t RedisCache::sweep(const std::function<bool(std::string_view record)>& wanted) {
  // As values, for the wait may end before the thread has looked.
  const auto known = wait_for(
      [this](const RedisConnection::Reply& reply) {
        resp::Value list;
        list.type = resp::Value::Type::kList;
        for (const RedisAddress& master : client_->masters()) {
          resp::Value& pair = list.items.emplace_back();
          pair.items.resize(2);
          pair.items[0].text = master.host;
          pair.items[1].text = master.port;
        }
        reply(std::move(list));
      },
      kLongWait);
  if (!known) return 0;
  std::vector<RedisAddress> masters;
  for (const resp::Value& pair : known->items)
    masters.push_back({pair.items[0].text, pair.items[1].text});
  std::uint64_t erased = 0;
  const std::string pattern = options_.prefix + ":v1:*";
  for (const RedisAddress& master : masters) {
    const auto ask = [&](const std::string& wire) {
      return wait_for(
          [this, master, wire](RedisConnection::Reply reply) {
            client_->ask_at(master, wire, std::move(reply));
          },
          kLongWait);
    };
    std::string cursor = "0";
    for (int round = 0; round < kSweepRoundsMax; ++round) {
      const auto page =
          ask(resp::command({"SCAN", cursor, "MATCH", pattern, "COUNT", kSweepCount}));
      if (!page || page->items.size() != 2) return erased;
      cursor = page->items[0].text;
      for (const resp::Value& name : page->items[1].items) {
        if (wanted) {
          const auto record = ask(resp::command({"GET", name.text}));
          if (!record || !wanted(record->text)) continue;
        }
        const auto gone = ask(resp::command({"UNLINK", name.text}));
        if (gone && gone->integer == 1) ++erased;
      }
      if (cursor == "0") break;
    }
  }
  return erased;
}

std::uint64_t RedisCache::invalidate(const Layers::Selection& selection) {
  if (broken_) return 0;
  const std::uint64_t erased = sweep([&](std::string_view bytes) {
    const auto parsed = disk::parse_record(bytes, kSalt);
    return parsed &&
           selection.fits(parsed->record.key, parsed->record.kind, labels_of(parsed->record));
  });
  tell(message_of(selection));
  return erased;
}

void RedisCache::clear() {
  if (broken_) return;
  sweep({});
  tell(std::string(kMessageClear));
}

RedisCache::Stats RedisCache::stats() const {
  const MutexLock lock(mutex_);
  Stats out = stats_;
  out.open = !broken_;
  out.redirects = client_->redirects();
  out.refreshes = client_->refreshes();
  return out;
}

}  // namespace knap::cache
