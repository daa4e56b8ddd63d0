#include "knap/cache/layers.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "advisor.hpp"
#include "disk_cache.hpp"
#include "knap/base/thread_pool.hpp"
#include "knap/observe/log.hpp"
#include "memory_cache.hpp"
#include "redis_cache.hpp"

namespace knap::cache {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// What says that there is nothing lives so much shorter.
constexpr int kNegativeShare = 10;
/// In the last fifth of its life a value that is asked for is made anew.
constexpr int kRefreshShare = 5;
/// Wishes of other servers that wait for their turn.
constexpr std::size_t kToldMax = 64;

std::int64_t unix_now_ms() {
  return std::chrono::duration_cast<milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

/// A counter that follows a number counted elsewhere.
void follow(observe::Counter& counter, std::uint64_t value) {
  const std::uint64_t known = counter.value();
  if (value > known) counter.add(value - known);
}

class LayersImpl final : public Layers {
 public:
  LayersImpl(Options options, observe::Registry& metrics)
      : options_(std::move(options)), metrics_(metrics) {
    for (const Layer layer : kLayers) {
      for (const Kind kind : kKinds) {
        const observe::Labels labels{{"layer", std::string(to_string(layer))},
                                     {"kind", std::string(to_string(kind))}};
        Counts& counts = counts_[index_of(layer)][index_of(kind)];
        counts.hits = &metrics.counter("knap_cache_hits_total", "Values found", labels);
        counts.misses =
            &metrics.counter("knap_cache_misses_total", "Values looked for in vain", labels);
        counts.puts = &metrics.counter("knap_cache_puts_total", "Values kept", labels);
        counts.saved = &metrics.total("knap_cache_saved_seconds_total",
                                      "What making the values found had taken", labels);
      }
    }
    if (options_.memory) {
      memory_ = std::make_unique<MemoryCache>(MemoryCache::Options{options_.memory_bytes, 0});
      advisor_ = std::make_unique<SizeAdvisor>(options_.memory_bytes);
    }
  }

  void open_disk() {
    if (!options_.disk) return;
    DiskCache::Options disk;
    disk.folder = options_.folder;
    disk.capacity_bytes = options_.disk_bytes;
    auto opened = DiskCache::open(std::move(disk));
    if (opened) {
      disk_ = std::move(*opened);
    } else {
      observe::log_warning("cache_disk_off",
                           opened.error().message + ": the server runs without its cache on disk");
    }
  }

  std::optional<Found> find_in_memory(const Key& key) override {
    if (!memory_) return std::nullopt;
    const auto now = coarse_now();
    const auto hit = memory_->get(key.bytes, key.hash, now);
    if (!hit) return std::nullopt;
    Found found{std::string(hit.value()), Layer::kMemory, hit.negative(), hit.cost_us(),
                hit.take_refresh(now)};
    advisor_->asked(key.hash);
    count_hit(key.kind, found);
    return found;
  }

  std::optional<Found> find(const Key& key) override {
    if (auto found = find_in_memory(key)) return found;
    if (memory_) {
      advisor_->asked(key.hash);
      counts(Layer::kMemory, key.kind).misses->add();
    }
    const std::int64_t now_ms = unix_now_ms();
    Layer layer = Layer::kDisk;
    std::optional<DiskCache::Value> value;
    if (disk_) {
      value = disk_->get(key.bytes, key.hash, now_ms);
      if (!value) counts(layer, key.kind).misses->add();
    }
    if (!value && redis_) {
      layer = Layer::kRedis;
      value = redis_->get(key.bytes, key.hash);
      if (!value) counts(layer, key.kind).misses->add();
    }
    if (!value) return std::nullopt;
    Found found{std::move(value->bytes), layer, value->negative, value->cost_us, false};
    put_in_memory(key, found.value, value->labels,
                  {value->cost_us, value->negative, milliseconds(now_ms - value->written_ms)});
    count_hit(key.kind, found);
    return found;
  }

  bool holds(const Key& key) override {
    if (memory_ && memory_->get(key.bytes, key.hash, coarse_now())) return true;
    return disk_ && disk_->get(key.bytes, key.hash, unix_now_ms()).has_value();
  }

  void forget_in_memory(std::uint64_t hash) override {
    if (memory_) memory_->erase(hash);
  }
  void put(const Key& key, std::string_view value, const Facts& facts) override {
    std::span<const std::uint64_t> labels(facts.labels);
    labels = labels.first(std::min(labels.size(), disk::kLabelsMax));
    put_in_memory(key, value, labels, {facts.cost_us, facts.negative, milliseconds(0)});
    if (facts.reach == Reach::kProcess || (!disk_ && !redis_)) return;
    DiskCache::Value stored;
    stored.kind = key.kind;
    stored.negative = facts.negative;
    stored.cost_us = facts.cost_us;
    stored.written_ms = unix_now_ms();
    stored.bytes = value;
    stored.labels.assign(labels.begin(), labels.end());
    const auto expiring = [&](Layer layer) -> DiskCache::Value& {
      const milliseconds life = lifetime(layer, key.kind, facts.negative, milliseconds(0));
      stored.expires_ms = life == milliseconds::max() ? 0 : stored.written_ms + life.count();
      return stored;
    };
    if (redis_ && redis_->put(key.bytes, key.hash, expiring(Layer::kRedis)))
      counts(Layer::kRedis, key.kind).puts->add();
    if (disk_ && disk_->put(key.bytes, key.hash, std::move(expiring(Layer::kDisk))))
      counts(Layer::kDisk, key.kind).puts->add();
  }

  std::uint64_t invalidate(const Selection& selection) override {
    const std::uint64_t shared = redis_ ? redis_->invalidate(selection) : 0;
    return shared + invalidate_here(selection);
  }

  void clear(std::optional<Layer> layer) override {
    if (redis_ && layer.value_or(Layer::kRedis) == Layer::kRedis) redis_->clear();
    if (disk_ && layer.value_or(Layer::kDisk) == Layer::kDisk) disk_->clear();
    if (memory_ && layer.value_or(Layer::kMemory) == Layer::kMemory) clear_memory();
  }

  void flush() override {
    if (disk_) disk_->flush();
  }

  Status open_redis();
  std::array<LayerStats, kLayers.size()> stats() const override;
  Advice advice() const override;
  void refresh_metrics() override;

 private:
  /// The lower layers first: what they give up must not come back into memory.
  std::uint64_t invalidate_here(const Selection& selection) {
    const auto wanted = [&](std::string_view key, Kind kind,
                            std::span<const std::uint64_t> labels) {
      return selection.fits(key, kind, labels);
    };
    std::uint64_t erased = disk_ ? disk_->erase_if(wanted) : 0;
    if (memory_) erased += memory_->erase_if(wanted);
    if (disk_) disk_->flush();
    return erased;
  }
  void clear_memory() {
    memory_->clear();
    advisor_->clear();
  }

  struct Counts {
    observe::Counter* hits = nullptr;
    observe::Counter* misses = nullptr;
    observe::Counter* puts = nullptr;
    observe::Gauge* saved = nullptr;  // seconds
  };
  /// How a value comes into memory: new, or found below when it had some age.
  struct Coming {
    std::uint32_t cost_us = 0;
    bool negative = false;
    milliseconds age{};
  };

  const Counts& counts(Layer layer, Kind kind) const {
    return counts_[index_of(layer)][index_of(kind)];
  }
  void count_hit(Kind kind, const Found& found) const {
    const Counts& counted = counts(found.layer, kind);
    counted.hits->add();
    counted.saved->add(found.cost_us * 1e-6);
  }

  /// How long a value may stay in a layer that it comes into at this age; max(): for ever.
  milliseconds lifetime(Layer layer, Kind kind, bool negative, milliseconds age) const {
    const seconds of_layer = options_.lifetimes.layer[index_of(layer)];
    const seconds of_kind = options_.lifetimes.kind[index_of(kind)];
    milliseconds life = milliseconds::max();
    if (of_layer.count() > 0) life = of_layer;
    if (of_kind.count() > 0) life = std::min<milliseconds>(life, of_kind - age);
    return negative && life != milliseconds::max() ? life / kNegativeShare : life;
  }

  void put_in_memory(const Key& key, std::string_view value, std::span<const std::uint64_t> labels,
                     const Coming& coming) {
    if (!memory_) return;
    EntryFacts facts;
    facts.kind = key.kind;
    facts.negative = coming.negative;
    facts.cost_us = coming.cost_us;
    const auto now = coarse_now();
    const milliseconds left = lifetime(Layer::kMemory, key.kind, coming.negative, coming.age);
    if (left <= milliseconds(0)) return;
    if (left != milliseconds::max()) {
      facts.expires = now + left;
      facts.refresh_after = facts.expires - left / kRefreshShare;
    }
    if (!memory_->put(key.bytes, key.hash, value, labels, facts, now)) return;
    advisor_->came(key.hash,
                   key.bytes.size() + value.size() + labels.size_bytes() + kEntryOverhead);
    counts(Layer::kMemory, key.kind).puts->add();
  }

  const Options options_;
  observe::Registry& metrics_;
  std::array<std::array<Counts, kKinds.size()>, kLayers.size()> counts_;
  std::unique_ptr<MemoryCache> memory_;
  std::unique_ptr<SizeAdvisor> advisor_;  ///< Beside memory_.
  std::unique_ptr<DiskCache> disk_;
  // What other servers tell is done here, for it may read the whole disk.
  std::unique_ptr<ThreadPool> told_;
  std::unique_ptr<RedisCache> redis_;  ///< Last: it calls back into all of the above.
};

Status LayersImpl::open_redis() {
  if (!options_.redis) return {};
  told_ = std::make_unique<ThreadPool>(ThreadPool::Options{"knap-forget", 1, kToldMax});
  RedisCache::Listener listener;
  listener.on_changed = [this](std::uint64_t hash) {
    if (memory_) memory_->erase(hash);
  };
  listener.on_all_changed = [this] {
    if (memory_) memory_->clear();
  };
  listener.on_invalidate = [this](const Selection& selection) {
    if (!told_->submit([this, selection] { invalidate_here(selection); }))
      observe::log_warning("cache_told_too_much", "another server's wish to forget was not heard");
  };
  listener.on_clear = [this] {
    static_cast<void>(told_
                          ->submit([this] {
                            if (disk_) disk_->clear();
                            if (memory_) clear_memory();
                          })
                          .has_value());
  };
  KNAP_TRY(redis_, RedisCache::open(*options_.redis, std::move(listener)));
  return {};
}

std::array<Layers::LayerStats, kLayers.size()> LayersImpl::stats() const {
  std::array<LayerStats, kLayers.size()> out;
  for (const Layer layer : kLayers) {
    LayerStats& stats = out[index_of(layer)];
    stats.layer = layer;
    stats.lifetime = options_.lifetimes.layer[index_of(layer)];
    for (const Kind kind : kKinds) {
      const Counts& counted = counts(layer, kind);
      KindStats& of_kind = stats.kinds[index_of(kind)];
      of_kind.hits = counted.hits->value();
      of_kind.misses = counted.misses->value();
      of_kind.puts = counted.puts->value();
      of_kind.saved_ms = static_cast<std::uint64_t>(std::lround(counted.saved->value() * 1e3));
    }
  }
  if (memory_) {
    LayerStats& stats = out[index_of(Layer::kMemory)];
    stats.open = true;
    stats.capacity_bytes = memory_->capacity_bytes();
    const MemoryCache::Stats kinds = memory_->stats();
    for (std::size_t i = 0; i < kinds.size(); ++i) {
      KindStats& of_kind = stats.kinds[i];
      of_kind.entries = kinds[i].entries;
      of_kind.bytes = kinds[i].bytes;
      of_kind.evictions = kinds[i].evictions;
      of_kind.expired = kinds[i].expired;
      if (kinds[i].evictions > 0)
        of_kind.evicted_age_ms = kinds[i].evicted_age_ms / kinds[i].evictions;
      stats.entries += kinds[i].entries;
      stats.bytes += kinds[i].bytes;
      stats.evictions += kinds[i].evictions;
      stats.dropped += kinds[i].refused;
    }
  }
  if (disk_) {
    LayerStats& stats = out[index_of(Layer::kDisk)];
    const DiskCache::Stats disk = disk_->stats();
    stats.open = true;
    stats.capacity_bytes = disk_->capacity_bytes();
    stats.bytes = disk.bytes;
    stats.entries = disk.entries;
    stats.evictions = disk.evicted;
    stats.dropped = disk.dropped;
    stats.damaged = disk.damaged;
    stats.write_errors = disk.write_errors;
  }
  if (redis_) {
    LayerStats& stats = out[index_of(Layer::kRedis)];
    const RedisCache::Stats redis = redis_->stats();
    stats.open = redis.open;
    stats.dropped = redis.dropped;
    stats.damaged = redis.damaged;
    stats.write_errors = redis.errors + redis.timeouts;
    stats.skipped = redis.skipped;
    stats.trips = redis.trips;
    stats.redirects = redis.redirects;
    stats.told = redis.told;
  }
  return out;
}

Layers::Advice LayersImpl::advice() const {
  Advice out;
  if (!advisor_) return out;
  const SizeAdvisor::Report report = advisor_->report();
  out.asked = report.asked;
  for (const SizeAdvisor::Advice& size : report.sizes) {
    const double rate =
        report.asked == 0 ? 0 : static_cast<double>(size.hits) / static_cast<double>(report.asked);
    out.sizes.push_back({size.factor, rate, size.bytes});
  }
  return out;
}

void LayersImpl::refresh_metrics() {
  for (const LayerStats& stats : stats()) {
    const observe::Labels labels{{"layer", std::string(to_string(stats.layer))}};
    metrics_.gauge("knap_cache_bytes", "What the layer holds", labels)
        .set(static_cast<double>(stats.bytes));
    metrics_.gauge("knap_cache_capacity_bytes", "What the layer may hold", labels)
        .set(static_cast<double>(stats.capacity_bytes));
    metrics_.gauge("knap_cache_entries", "Values that the layer holds", labels)
        .set(static_cast<double>(stats.entries));
    follow(metrics_.counter("knap_cache_evictions_total", "Values that made room", labels),
           stats.evictions);
  }
}

}  // namespace

Result<std::unique_ptr<Layers>> Layers::open(Options options, observe::Registry& metrics) {
  auto layers = std::make_unique<LayersImpl>(std::move(options), metrics);
  layers->open_disk();
  KNAP_CHECK_OK(layers->open_redis());
  return std::unique_ptr<Layers>(std::move(layers));
}

bool Layers::Selection::fits(std::string_view key_bytes, Kind of_kind,
                             std::span<const std::uint64_t> labels) const {
  if (kind && of_kind != *kind) return false;
  if (label && std::ranges::find(labels, *label) == labels.end()) return false;
  return pattern.empty() || matches_pattern(Key::subject(key_bytes), pattern);
}

std::uint64_t label_of(std::string_view what, std::string_view name) {
  return hash64(fmt::format("{}\x1f{}", what, name));
}

bool matches_pattern(std::string_view text, std::string_view pattern) {
  // Greedy with one place to go back to: the last star (Krauss, 2008).
  std::size_t t = 0, p = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || lower(pattern[p]) == lower(text[t]))) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace knap::cache
