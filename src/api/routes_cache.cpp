#include "json_views.hpp"
#include "knap/base/text.hpp"
#include "requests.hpp"
#include "routes.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;
using cache::Layers;

constexpr std::array<std::string_view, 4> kKindNames{"search", "answer", "embedding", "document"};
constexpr std::size_t kPatternMax = 512;

double share(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

Problem cache_off() {
  return {
      409, "cache_off", "this server keeps no cache: cache.layers in its settings is empty", {}};
}

json::object kind_body(cache::Kind kind, const Layers::KindStats& stats) {
  return {{"kind", cache::to_string(kind)},
          {"hits", stats.hits},
          {"misses", stats.misses},
          {"hit_rate", share(stats.hits, stats.hits + stats.misses)},
          {"puts", stats.puts},
          {"entries", stats.entries},
          {"bytes", stats.bytes},
          {"evictions", stats.evictions},
          {"expired", stats.expired},
          {"evicted_age_ms", stats.evicted_age_ms},
          {"saved_ms", stats.saved_ms}};
}

json::object layer_body(const Layers::LayerStats& stats) {
  json::array kinds;
  std::uint64_t hits = 0, misses = 0, saved_ms = 0;
  for (const cache::Kind kind : cache::kKinds) {
    const Layers::KindStats& of_kind = stats.kinds[cache::index_of(kind)];
    hits += of_kind.hits;
    misses += of_kind.misses;
    saved_ms += of_kind.saved_ms;
    kinds.push_back(kind_body(kind, of_kind));
  }
  return {{"layer", cache::to_string(stats.layer)},
          {"name", cache::name_of(stats.layer)},
          {"open", stats.open},
          {"capacity_bytes", stats.capacity_bytes},
          {"bytes", stats.bytes},
          {"entries", stats.entries},
          {"lifetime_s", stats.lifetime.count()},
          {"hits", hits},
          {"misses", misses},
          {"hit_rate", share(hits, hits + misses)},
          {"saved_ms", saved_ms},
          {"evictions", stats.evictions},
          {"dropped", stats.dropped},
          {"damaged", stats.damaged},
          {"write_errors", stats.write_errors},
          {"skipped", stats.skipped},
          {"trips", stats.trips},
          {"redirects", stats.redirects},
          {"told", stats.told},
          {"kinds", std::move(kinds)}};
}

json::value advice_body(const Layers::Advice& advice) {
  if (advice.sizes.empty()) return nullptr;
  json::array sizes;
  for (const auto& size : advice.sizes) {
    sizes.push_back(
        json::object{{"factor", size.factor}, {"bytes", size.bytes}, {"hit_rate", size.hit_rate}});
  }
  return json::object{{"sampled_requests", advice.asked}, {"sizes", std::move(sizes)}};
}

Outcome get_stats(const Context& context) {
  const Layers* cache = context.parts.cache;
  json::array layers;
  json::value advice = nullptr;
  if (cache != nullptr) {
    for (const auto& stats : cache->stats()) layers.push_back(layer_body(stats));
    advice = advice_body(cache->advice());
  }
  return json_response(200, json::object{{"enabled", cache != nullptr},
                                         {"layers", std::move(layers)},
                                         {"advice", std::move(advice)}});
}

Outcome post_clear(const Context& context, Call& call) {
  auto reader = body_of(call, BodyReader::Unknown::kRefuse);
  if (!reader) return refuse(reader.error());
  std::string name;
  reader->text("layer", BodyReader::Need::kOptional, {0, 16}, name);
  std::optional<cache::Layer> wanted;
  for (const cache::Layer layer : cache::kLayers) {
    if (name == cache::to_string(layer) || name == cache::name_of(layer)) wanted = layer;
  }
  if (!name.empty() && !wanted && !reader->failed())
    reader->fail(
        wrong_field("layer", "'layer' must be one of l1, l2, l3 (or memory, disk, redis)"));
  if (const auto finished = reader->finish(); !finished) return refuse(finished.error());
  if (context.parts.cache == nullptr) return refuse(cache_off());
  context.parts.cache->clear(wanted);
  return json_response(200, json::object{{"cleared", true}});
}

Outcome post_invalidate(const Context& context, Call& call) {
  using Need = BodyReader::Need;
  auto reader = body_of(call, BodyReader::Unknown::kRefuse);
  if (!reader) return refuse(reader.error());
  std::string pattern, note, tag, vault, kind_name;
  reader->text("pattern", Need::kOptional, {1, kPatternMax}, pattern);
  reader->text("note", Need::kOptional, {1, 4096}, note);
  reader->text("tag", Need::kOptional, {1, 256}, tag);
  reader->text("vault", Need::kOptional, {1, 256}, vault);
  std::size_t kind = kKindNames.size();
  if (reader->raw("kind") != nullptr) reader->choice("kind", kKindNames, kind);
  const int labels = (note.empty() ? 0 : 1) + (tag.empty() ? 0 : 1) + (vault.empty() ? 0 : 1);
  if (!reader->failed() && labels > 1)
    reader->fail(wrong_field("note", "give one of 'note', 'tag' and 'vault'"));
  if (!reader->failed() && labels == 0 && pattern.empty() && kind == kKindNames.size()) {
    reader->fail(wrong_field("pattern",
                             "say what to forget: 'pattern' (of questions, with * and ?), 'note', "
                             "'tag', 'vault' or 'kind'; POST /api/performance/cache/clear forgets "
                             "all"));
  }
  if (const auto finished = reader->finish(); !finished) return refuse(finished.error());
  if (context.parts.cache == nullptr) return refuse(cache_off());
  Layers::Selection selection;
  selection.pattern = pattern;
  if (kind < kKindNames.size()) selection.kind = cache::kKinds[kind];
  if (!note.empty()) selection.label = cache::label_of("note", note);
  if (!vault.empty()) selection.label = cache::label_of("vault", vault);
  if (!tag.empty())
    selection.label =
        cache::label_of("tag", text::fold_case(tag.front() == '#' ? tag.substr(1) : tag));
  return json_response(200,
                       json::object{{"invalidated", context.parts.cache->invalidate(selection)}});
}

Outcome post_warm(const Context& context, Call& call) {
  auto reader = body_of(call, BodyReader::Unknown::kRefuse);
  if (!reader) return refuse(reader.error());
  DeadlineWish wish;
  std::int64_t milliseconds = 0;
  reader->integer("deadline_ms", 1, 600'000, milliseconds);
  if (milliseconds > 0) wish = std::chrono::milliseconds(milliseconds);
  if (const auto finished = reader->finish(); !finished) return refuse(finished.error());
  if (context.parts.cache == nullptr || context.warmer == nullptr || *context.warmer == nullptr)
    return refuse(cache_off());
  const auto warmed = (*context.warmer)->warm(call.deadline(kAskLimit, wish), call.cancel());
  return json_response(200, json::object{{"questions", warmed.questions}, {"made", warmed.made}});
}

}  // namespace

void add_cache_routes(const Context& context, std::vector<Route>& routes) {
  using service::Level;
  routes.push_back({"GET",
                    "/api/performance/cache/stats",
                    Level::kStatus,
                    Lane::kStatus,
                    [&context](Call&) { return get_stats(context); },
                    "Show what the cache layers hold and save",
                    {}});
  routes.push_back({"POST",
                    "/api/performance/cache/clear",
                    Level::kSearch,
                    Lane::kAsk,
                    [&context](Call& call) { return post_clear(context, call); },
                    "Forget all that is cached",
                    {}});
  routes.push_back({"POST",
                    "/api/performance/cache/invalidate",
                    Level::kSearch,
                    Lane::kAsk,
                    [&context](Call& call) { return post_invalidate(context, call); },
                    "Forget what is cached of a note, a tag, a vault or a question",
                    {}});
  routes.push_back({"POST",
                    "/api/performance/cache/warm",
                    Level::kSearch,
                    Lane::kAsk,
                    [&context](Call& call) { return post_warm(context, call); },
                    "Work out again now what was asked most",
                    {}});
}

}  // namespace knap::api
