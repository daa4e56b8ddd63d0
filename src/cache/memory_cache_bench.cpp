// MemoryCache beside moka and a plain LRU: hit ratio and speed on three traces, one core.
//
// Usage: memory_cache_bench [KEYS [REQUESTS]]. KNAP_MOKA_BENCH names the program of bench/moka;
// without it moka is left out. bench/memory_cache.py builds it and runs both.

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <list>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>

#include "knap/base/assert.hpp"
#include "knap/base/hash.hpp"
#include "memory_cache.hpp"

namespace knap::cache {
namespace {

/// How many keys are asked for. A tenth fits.
struct Scale {
  std::size_t keys = 100'000;
  std::size_t held() const { return keys / 10; }
};
constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kValueBytes = 100;
constexpr int kTurns = 3;

using Trace = std::vector<std::uint32_t>;

/// Keys side by side: looking them up measures the cache, not this program's memory.
class Keys {
 public:
  explicit Keys(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) bytes_ += fmt::format("key-{:016x}-to-be-found", i);
    KNAP_ASSERT(bytes_.size() == count * kKeyBytes);
  }
  std::string_view operator[](std::size_t i) const {
    return {bytes_.data() + i * kKeyBytes, kKeyBytes};
  }

 private:
  std::string bytes_;
};

/// Ranks are spread over the keys, so that neighbours in memory are not alike.
Trace zipf(Scale scale, std::size_t length, double exponent, std::mt19937_64& random) {
  const std::size_t keys = scale.keys;
  std::vector<double> sums(keys);
  double sum = 0;
  for (std::size_t i = 0; i < keys; ++i)
    sums[i] = sum += std::pow(static_cast<double>(i + 1), -exponent);
  std::vector<std::uint32_t> order(keys);
  for (std::size_t i = 0; i < keys; ++i) order[i] = static_cast<std::uint32_t>(i);
  std::shuffle(order.begin(), order.end(), random);
  std::uniform_real_distribution<double> uniform(0, sum);
  Trace trace(length);
  for (auto& key : trace) {
    const auto at = std::lower_bound(sums.begin(), sums.end(), uniform(random)) - sums.begin();
    key = order[std::min(static_cast<std::size_t>(at), keys - 1)];
  }
  return trace;
}

/// A fifth of the requests are walks over keys that are not asked for again soon.
Trace with_scans(Scale scale, std::size_t length, std::mt19937_64& random) {
  const std::size_t scan = scale.held() / 2;
  Trace trace = zipf(scale, length, .9, random);
  std::uint32_t next = 0;
  for (std::size_t at = scan * 4; at + scan <= length; at += scan * 5) {
    for (std::size_t i = 0; i < scan; ++i)
      trace[at + i] = static_cast<std::uint32_t>(next++ % scale.keys);
  }
  return trace;
}

Trace looping(Scale scale, std::size_t length) {
  Trace trace(length);
  for (std::size_t i = 0; i < length; ++i)
    trace[i] = static_cast<std::uint32_t>(i % (scale.held() * 2));
  return trace;
}

struct Figures {
  double hit_ratio = 0, replay_per_second = 0, gets_per_second = 0;
};

double seconds_since(SteadyClock::time_point start) {
  return std::chrono::duration<double>(SteadyClock::now() - start).count();
}

std::size_t entry_bytes() { return kKeyBytes + kValueBytes + kEntryOverhead; }

Figures run_knap(Scale scale, const Trace& trace, const Keys& keys) {
  MemoryCache cache({.capacity_bytes = scale.held() * entry_bytes()});
  const std::string value(kValueBytes, 'x');
  EntryFacts facts;
  facts.expires = SteadyClock::now() + std::chrono::minutes(5);
  std::uint64_t hits = 0;
  auto start = SteadyClock::now();
  for (const std::uint32_t i : trace) {
    const std::uint64_t hash = hash64(keys[i]);
    const auto now = coarse_now();
    if (const auto hit = cache.get(keys[i], hash, now)) {
      KNAP_ASSERT(hit.value().size() == value.size());
      ++hits;
    } else {
      cache.put(keys[i], hash, value, {}, facts, now);
    }
  }
  Figures out;
  out.replay_per_second = static_cast<double>(trace.size()) / seconds_since(start);
  out.hit_ratio = static_cast<double>(hits) / static_cast<double>(trace.size());
  Trace resident;
  for (const std::uint32_t i : trace)
    if (cache.get(keys[i], hash64(keys[i]), coarse_now())) resident.push_back(i);
  start = SteadyClock::now();
  for (const std::uint32_t i : resident) {
    const auto hit = cache.get(keys[i], hash64(keys[i]), coarse_now());
    KNAP_ASSERT(hit && hit.value().size() == value.size());
  }
  out.gets_per_second = static_cast<double>(resident.size()) / seconds_since(start);
  return out;
}

Figures run_lru(Scale scale, const Trace& trace, const Keys& keys) {
  std::list<std::pair<std::string_view, std::string>> order;
  std::unordered_map<std::string_view, decltype(order)::iterator> places;
  std::uint64_t hits = 0;
  const auto start = SteadyClock::now();
  for (const std::uint32_t i : trace) {
    const auto found = places.find(keys[i]);
    if (found != places.end()) {
      order.splice(order.begin(), order, found->second);
      ++hits;
      continue;
    }
    order.emplace_front(keys[i], std::string(kValueBytes, 'x'));
    places.emplace(keys[i], order.begin());
    if (places.size() > scale.held()) {
      places.erase(order.back().first);
      order.pop_back();
    }
  }
  Figures out;
  out.replay_per_second = static_cast<double>(trace.size()) / seconds_since(start);
  out.hit_ratio = static_cast<double>(hits) / static_cast<double>(trace.size());
  return out;
}

double field(const std::string& line, const std::string& name) {
  const auto at = line.find("\"" + name + "\": ");
  return at == std::string::npos ? 0 : std::strtod(line.c_str() + at + name.size() + 4, nullptr);
}

Figures run_moka(Scale scale, const char* program, const std::filesystem::path& file) {
  const std::string command =
      fmt::format("'{}' '{}' {} {} {} {}", program, file.string(), scale.keys,
                  scale.held() * entry_bytes(), kValueBytes, entry_bytes());
  std::FILE* pipe = ::popen(command.c_str(), "r");
  KNAP_ASSERT(pipe != nullptr);
  std::array<char, 512> line{};
  const bool read = std::fgets(line.data(), line.size(), pipe) != nullptr;
  KNAP_ASSERT(::pclose(pipe) == 0 && read);
  const std::string text(line.data());
  KNAP_ASSERT(field(text, "found") > 0.9);
  return {field(text, "hit_ratio"), field(text, "replay_per_second"),
          field(text, "gets_per_second")};
}

void print(const std::string& trace, const char* cache, const std::vector<Figures>& turns) {
  const auto median = [&](auto member) {
    std::vector<double> values;
    for (const Figures& each : turns) values.push_back(each.*member);
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  };
  fmt::print("{:<8} {:<5} {:>9.4f} {:>12.1f} {:>12.1f}\n", trace, cache,
             median(&Figures::hit_ratio), median(&Figures::replay_per_second) / 1e6,
             median(&Figures::gets_per_second) / 1e6);
  std::fflush(stdout);
}

int run(Scale scale, std::size_t requests) {
  std::mt19937_64 random(7);
  const auto keys = Keys(scale.keys);
  const char* moka = std::getenv("KNAP_MOKA_BENCH");
  const auto file =
      std::filesystem::temp_directory_path() / fmt::format("knap-trace-{}", ::getpid());
  fmt::print(
      "{} requests, {} keys, {} entries fit, values of {} bytes, one thread, median of {} turns\n"
      "{:<8} {:<5} {:>9} {:>12} {:>12}\n",
      requests, scale.keys, scale.held(), kValueBytes, kTurns, "trace", "cache", "hit ratio",
      "replay M/s", "hits M/s");
  for (const std::string name : {"zipf", "scans", "loop"}) {
    const Trace trace = name == "zipf"    ? zipf(scale, requests, .9, random)
                        : name == "scans" ? with_scans(scale, requests, random)
                                          : looping(scale, requests);
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(trace.data()),
               static_cast<std::streamsize>(trace.size() * sizeof(std::uint32_t)));
    std::vector<Figures> knap, other, lru;
    for (int turn = 0; turn < kTurns; ++turn) {
      knap.push_back(run_knap(scale, trace, keys));
      if (moka != nullptr) other.push_back(run_moka(scale, moka, file));
    }
    lru.push_back(run_lru(scale, trace, keys));
    print(name, "knap", knap);
    if (moka != nullptr) print(name, "moka", other);
    print(name, "lru", lru);
  }
  std::filesystem::remove(file);
  return 0;
}

}  // namespace
}  // namespace knap::cache

int main(int argc, char** argv) {
  const auto number = [&](int at, std::size_t other) {
    return argc > at ? std::strtoull(argv[at], nullptr, 10) : other;
  };
  return knap::cache::run({number(1, 100'000)}, number(2, 5'000'000));
}
