#include "redis_client.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>
#include <boost/asio/post.hpp>

#include "knap/observe/log.hpp"

namespace knap::cache {
namespace {

using std::chrono::milliseconds;

constexpr int kRedirectsMax = 5;
constexpr std::uint16_t kNoShard = 0xFFFF;
constexpr std::size_t kShardsMax = 1'000;
/// From here on those that cannot be reached are forgotten.
constexpr std::size_t kConnectionsMax = 4'000;
/// Learning is not begun more often.
constexpr milliseconds kLearnEvery{100};
constexpr milliseconds kRelearn{10'000};

Error no_one(std::string_view what) {
  return make_error(ErrorCode::kUnavailable, fmt::format("Redis: {}", what));
}

/// "3999 127.0.0.1:6381" -> the address; an empty host means the one that said so.
std::optional<RedisAddress> moved_to(std::string_view text, const RedisAddress& from) {
  const std::size_t space = text.rfind(' ');
  const std::size_t colon = text.rfind(':');
  if (space == std::string_view::npos || colon == std::string_view::npos || colon < space)
    return std::nullopt;
  RedisAddress out{std::string(text.substr(space + 1, colon - space - 1)),
                   std::string(text.substr(colon + 1))};
  if (out.host.empty()) out.host = from.host;
  return out;
}

std::optional<RedisAddress> server_of(const resp::Value& item, const RedisAddress& from) {
  if (item.items.size() < 2 || item.items[1].type != resp::Value::Type::kInteger)
    return std::nullopt;
  RedisAddress out{item.items[0].text, std::to_string(item.items[1].integer)};
  if (out.host.empty() || out.host == "?") out.host = from.host;
  return out;
}

}  // namespace

Result<RedisAddress> parse_redis_address(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  RedisAddress out;
  if (colon != std::string_view::npos) {
    out.host = text.substr(0, colon);
    out.port = text.substr(colon + 1);
  }
  if (out.host.size() > 2 && out.host.front() == '[' && out.host.back() == ']')
    out.host = out.host.substr(1, out.host.size() - 2);
  std::uint16_t port = 0;
  const auto [end, error] =
      std::from_chars(out.port.data(), out.port.data() + out.port.size(), port);
  if (out.host.empty() || error != std::errc() || end != out.port.data() + out.port.size() ||
      port == 0) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("cache.redis.addresses: \"{}\" must be HOST:PORT", text));
  }
  return out;
}

RedisClient::RedisClient(boost::asio::io_context& context, boost::asio::ssl::context* tls,
                         const RedisOptions& options, std::vector<RedisAddress> addresses,
                         std::string channel, RedisConnection::Push push)
    : context_(context),
      tls_(tls),
      options_(options),
      addresses_(std::move(addresses)),
      channel_(std::move(channel)),
      push_(std::move(push)) {
  shard_of_.fill(kNoShard);
  if (options_.mode == RedisMode::kSingle) {
    // The others stand in for it, as replicas would.
    Shard shard{addresses_.front(), {addresses_.begin() + 1, addresses_.end()}};
    shards_.push_back(std::move(shard));
    shard_of_.fill(0);
  }
}

RedisClient::Connection RedisClient::connection(const RedisAddress& address) {
  if (connections_.size() >= kConnectionsMax) {
    std::erase_if(connections_, [](const auto& each) { return !each.second->promising(); });
  }
  Connection& made = connections_[address];
  if (!made) {
    RedisLogin login{
        options_.user, options_.password, options_.database, options_.mode == RedisMode::kCluster,
        true,          channel_};
    made = std::make_shared<RedisConnection>(context_, tls_, address, login, push_);
  }
  return made;
}

RedisClient::Connection RedisClient::sentinel(const RedisAddress& address) {
  Connection& made = sentinels_[address];
  if (!made)
    made = std::make_shared<RedisConnection>(context_, tls_, address, RedisLogin{}, nullptr);
  return made;
}

std::vector<RedisAddress> RedisClient::candidates(std::uint16_t slot, Access access) const {
  if (shard_of_[slot] == kNoShard) return {};
  const Shard& shard = shards_[shard_of_[slot]];
  std::vector<RedisAddress> out{shard.master};
  const bool others = access == Access::kRead || options_.mode == RedisMode::kSingle;
  if (others) out.insert(out.end(), shard.replicas.begin(), shard.replicas.end());
  return out;
}

void RedisClient::ask(std::string_view key, Access access, std::string wire, Reply reply) {
  auto asking = std::make_shared<Asking>();
  asking->wire = std::move(wire);
  asking->slot = resp::slot_of(key);
  asking->access = access;
  asking->reply = std::move(reply);
  if (options_.mode == RedisMode::kCluster && SteadyClock::now() - learned_ > kRelearn) refresh();
  send(asking);
}

/// To the first of the key's servers that has not failed at it yet.
void RedisClient::send(const std::shared_ptr<Asking>& asking) {
  const auto servers = candidates(asking->slot, asking->access);
  for (; asking->tried < servers.size(); ++asking->tried) {
    const Connection to = connection(servers[asking->tried]);
    if (!to->promising()) continue;
    ++asking->tried;
    return send_to(to, asking, false);
  }
  refresh();
  boost::asio::post(context_,
                    [asking] { asking->reply(no_one("nobody who holds the key answers")); });
}

void RedisClient::send_to(const Connection& to, const std::shared_ptr<Asking>& asking,
                          bool asking_first) {
  std::string wire = asking_first ? resp::command({"ASKING"}) + asking->wire : asking->wire;
  to->ask(std::move(wire), asking_first ? 2 : 1,
          [this, asking, from = to->address()](Result<resp::Value> said) {
            if (said && said->type == resp::Value::Type::kError) {
              if (follow(asking, fmt::format("{}\x1f{}", said->text, from.host))) return;
            }
            take(asking, std::move(said));
          });
}

/// True when the command is on its way to where the error points.
bool RedisClient::follow(const std::shared_ptr<Asking>& asking, const std::string& error) {
  const std::size_t border = error.rfind('\x1f');
  const std::string_view text = std::string_view(error).substr(0, border);
  const bool moved = text.starts_with("MOVED "), ask = text.starts_with("ASK ");
  if (text.starts_with("READONLY") || text.starts_with("CLUSTERDOWN") || moved) refresh();
  if ((!moved && !ask) || ++asking->redirects > kRedirectsMax) return false;
  const auto to = moved_to(text, {error.substr(border + 1), ""});
  if (!to) return false;
  ++redirects_;
  send_to(connection(*to), asking, ask);
  return true;
}

void RedisClient::take(const std::shared_ptr<Asking>& asking, Result<resp::Value> said) {
  if (said || said.error().code != ErrorCode::kUnavailable) return asking->reply(std::move(said));
  // Not reached, or lost on the way: a replica may know it, and somebody else may be master soon.
  refresh();
  const auto servers = candidates(asking->slot, asking->access);
  if (asking->tried < servers.size()) return send(asking);
  asking->reply(std::move(said));
}

std::vector<RedisAddress> RedisClient::masters() const {
  std::vector<RedisAddress> out;
  for (const Shard& shard : shards_) out.push_back(shard.master);
  return out;
}

void RedisClient::ask_any(std::string wire, Reply reply) {
  for (const Shard& shard : shards_) {
    const Connection to = connection(shard.master);
    if (to->promising()) return to->ask(std::move(wire), 1, std::move(reply));
  }
  refresh();
  boost::asio::post(context_, [reply = std::move(reply)] { reply(no_one("nobody answers")); });
}

void RedisClient::ask_masters(const std::string& wire, const Reply& reply) {
  for (const RedisAddress& master : masters()) connection(master)->ask(wire, 1, reply);
}

void RedisClient::ask_at(const RedisAddress& address, std::string wire, Reply reply) {
  connection(address)->ask(std::move(wire), 1, std::move(reply));
}

void RedisClient::refresh() {
  if (options_.mode == RedisMode::kSingle || learning_) return;
  const auto now = SteadyClock::now();
  if (now - learned_ < kLearnEvery) return;
  learning_ = true;
  learned_ = now;
  if (options_.mode == RedisMode::kCluster) {
    learn_slots(0);
  } else {
    learn_master(0);
  }
}

void RedisClient::learned() {
  learning_ = false;
  ++refreshes_;
}

/// Asks one after the other: those that are known, then those of the settings.
void RedisClient::learn_slots(std::size_t attempt) {
  std::vector<RedisAddress> known;
  for (const Shard& shard : shards_) {
    known.push_back(shard.master);
    known.insert(known.end(), shard.replicas.begin(), shard.replicas.end());
  }
  known.insert(known.end(), addresses_.begin(), addresses_.end());
  for (; attempt < known.size(); ++attempt) {
    const Connection to = connection(known[attempt]);
    if (!to->promising()) continue;
    return to->ask(resp::command({"CLUSTER", "SLOTS"}), 1,
                   [this, attempt, from = known[attempt]](const Result<resp::Value>& said) {
                     if (said && take_slots(*said, from)) return learned();
                     if (said && said->type == resp::Value::Type::kError)
                       observe::log_warning("redis_slots_refused", said->text);
                     learn_slots(attempt + 1);
                   });
  }
  learned();
}

bool RedisClient::take_slots(const resp::Value& said, const RedisAddress& from) {
  if (said.type != resp::Value::Type::kList || said.items.empty() ||
      said.items.size() > kShardsMax * 16)
    return false;
  std::vector<Shard> shards;
  std::array<std::uint16_t, resp::kSlots> shard_of{};
  shard_of.fill(kNoShard);
  for (const resp::Value& range : said.items) {
    if (range.items.size() < 3) return false;
    const std::int64_t first = range.items[0].integer, last = range.items[1].integer;
    const auto master = server_of(range.items[2], from);
    if (first < 0 || last >= resp::kSlots || first > last || !master) return false;
    auto shard = std::find_if(shards.begin(), shards.end(),
                              [&](const Shard& other) { return other.master == *master; });
    if (shard == shards.end()) {
      if (shards.size() == kShardsMax) return false;
      shard = shards.insert(shards.end(), Shard{*master, {}});
      for (std::size_t i = 3; i < range.items.size(); ++i) {
        if (const auto replica = server_of(range.items[i], from))
          shard->replicas.push_back(*replica);
      }
    }
    std::fill(shard_of.begin() + first, shard_of.begin() + last + 1,
              static_cast<std::uint16_t>(shard - shards.begin()));
  }
  shards_ = std::move(shards);
  shard_of_ = shard_of;
  return true;
}

void RedisClient::learn_master(std::size_t attempt) {
  for (; attempt < addresses_.size(); ++attempt) {
    const Connection to = sentinel(addresses_[attempt]);
    if (!to->promising()) continue;
    return to->ask(resp::command({"SENTINEL", "GET-MASTER-ADDR-BY-NAME", options_.master_name}), 1,
                   [this, attempt](const Result<resp::Value>& said) {
                     if (said && said->items.size() == 2) {
                       const RedisAddress master{said->items[0].text, said->items[1].text};
                       if (shards_.empty() || shards_.front().master != master)
                         observe::log_info("redis_master", "the sentinels name a master",
                                           {{"address", master.text()}});
                       shards_ = {Shard{master, {}}};
                       shard_of_.fill(0);
                       return learned();
                     }
                     learn_master(attempt + 1);
                   });
  }
  learned();
}

void RedisClient::close() {
  const Error why = no_one("the server stops");
  for (const auto& [address, made] : connections_) made->close(why);
  for (const auto& [address, made] : sentinels_) made->close(why);
}

}  // namespace knap::cache
