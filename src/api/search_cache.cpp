#include "search_cache.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "json_views.hpp"
#include "knap/api/api.hpp"
#include "knap/base/json_text.hpp"
#include "knap/base/text.hpp"
#include "knap/base/version.hpp"

namespace knap::api {
namespace {

namespace json = boost::json;

/// Between the two parts of a value: JSON text without line feeds.
constexpr char kBorder = '\n';
constexpr std::size_t kLabelsMax = 1'000;

}  // namespace

std::string settings_print(const std::vector<Setting>& settings) {
  std::string all{version()};
  for (const Setting& setting : settings) {
    const bool counts = setting.key.starts_with("search.") || setting.key.starts_with("answer.") ||
                        setting.key.starts_with("models.");
    if (counts) all += '\n' + setting.key + '=' + setting.value_json;
  }
  return hash128(all).hex();
}

std::string joined_white_space(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text::trim(text)) {
    const bool space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!space) {
      out.push_back(c);
    } else if (!out.empty() && out.back() != ' ') {
      out.push_back(' ');
    }
  }
  return out;
}

std::string vaults_key(std::vector<std::string> vaults) {
  std::sort(vaults.begin(), vaults.end());
  vaults.erase(std::unique(vaults.begin(), vaults.end()), vaults.end());
  return fmt::format("{}", fmt::join(vaults, "\x1f"));
}

bool unchanged(const index::Service& index, const std::vector<std::string>& vaults,
               const index::Content& before) {
  const auto now = index.content(vaults, index::Effort::kWhole);
  return now && now->moment == before.moment && now->key == before.key;
}

namespace search_value {

std::string make(const index::SearchRequest& request, const index::SearchOutcome& outcome) {
  // Hundreds of small pieces, given back at once.
  json::monotonic_resource pieces;
  const json::storage_ptr memory(&pieces);
  json::array results(memory);
  results.reserve(outcome.hits.size());
  for (const index::SearchHit& hit : outcome.hits)
    results.push_back(search_result(hit, outcome.terms, request.explain, memory));
  json::object head(memory);
  head["results"] = std::move(results);
  head["mode"] = mode_name(outcome.ran);
  head["degraded"] = text_list(outcome.degraded);
  json::array corrections;
  for (const index::Correction& correction : outcome.corrections)
    corrections.push_back(
        json::object{{"from", correction.from}, {"to", text_list(correction.to)}});
  head["corrections"] = std::move(corrections);
  const json::object rest{{"notes", outcome.notes},
                          {"passages", outcome.passages},
                          {"coverage", json::object{{"keyword", outcome.keyword_coverage},
                                                    {"semantic", outcome.semantic_coverage}}}};
  std::string value = json_text(head);
  value.back() = kBorder;  // in place of the brace that closes
  value += std::string_view(json_text(rest)).substr(1);
  return value;
}

http::Response response(std::string_view value, const Told& told, std::string_view extra) {
  const std::size_t border = value.find(kBorder);
  const std::string_view head = value.substr(0, border);
  const std::string_view rest = border == std::string_view::npos ? std::string_view(R"("notes":0})")
                                                                 : value.substr(border + 1);
  const std::string cached =
      told.cached ? fmt::format("\"{}\"", cache::to_string(*told.cached)) : "null";
  return http::Response::json(
      200, fmt::format(R"({},"cached":{},"took_ms":{:.3f},"index":{{"epoch":{},{}{}}})", head,
                       cached, told.took_ms, told.epoch, rest, extra));
}

std::vector<std::uint64_t> labels(const std::vector<index::SearchHit>& hits) {
  std::vector<std::uint64_t> out;
  for (const index::SearchHit& hit : hits) {
    out.push_back(cache::label_of("vault", hit.passage.vault));
    out.push_back(cache::label_of("note", hit.passage.path));
    for (const std::string& tag : hit.passage.tags)
      out.push_back(cache::label_of("tag", text::fold_case(tag)));
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  if (out.size() > kLabelsMax) out.resize(kLabelsMax);
  return out;
}

}  // namespace search_value

std::optional<SearchCache::Wanted> SearchCache::want(index::SearchRequest& request,
                                                     index::Effort effort) const {
  if (layers_ == nullptr || request.explain) return std::nullopt;
  auto content = index_.content(request.vaults, effort);
  if (!content) return std::nullopt;
  request.text = joined_white_space(request.text);
  std::sort(request.vaults.begin(), request.vaults.end());
  std::string rest =
      fmt::format("{}.{}.{}\x1e{}", static_cast<int>(request.mode), static_cast<int>(request.group),
                  request.limit, request.filter ? request.filter->canonical() : "");
  rest.push_back('\0');
  rest += request.text;
  const std::string vaults = vaults_key(request.vaults);
  const std::uint64_t name = hash64(vaults + "\x1esearch\x1e" + rest);
  std::string key =
      fmt::format("search1\x1e{}\x1e{}\x1e{}\x1e", settings_, vaults, content->key) + rest;
  return Wanted{cache::Key(cache::Kind::kSearch, std::move(key)), std::move(*content), name};
}

std::optional<SearchCache::Hit> SearchCache::find_in_memory(const Wanted& wanted) const {
  auto found = layers_->find_in_memory(wanted.key);
  if (!found) return std::nullopt;
  return Hit{std::move(found->value), found->layer, found->cost_us, found->refresh};
}

std::optional<SearchCache::Hit> SearchCache::find(const Wanted& wanted) const {
  auto found = layers_->find(wanted.key);
  if (!found) return std::nullopt;
  return Hit{std::move(found->value), found->layer, found->cost_us, found->refresh};
}

void SearchCache::keep(const Wanted& wanted, const index::SearchRequest& request,
                       const index::SearchOutcome& outcome, std::string_view value,
                       std::chrono::microseconds took, cache::Flights::Lead* lead) const {
  if (!outcome.repeatable || !unchanged(index_, request.vaults, wanted.content)) return;
  cache::Layers::Facts facts;
  facts.cost_us = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(took.count(), 0, std::numeric_limits<std::uint32_t>::max()));
  facts.reach =
      wanted.content.lasting ? cache::Layers::Reach::kLasting : cache::Layers::Reach::kProcess;
  facts.labels = search_value::labels(outcome.hits);
  layers_->put(wanted.key, value, facts);
  for (const std::uint64_t gone :
       kept_.add(vaults_key(request.vaults), wanted.content.key, wanted.key.hash))
    layers_->forget_in_memory(gone);
  if (lead != nullptr) lead->give(std::make_shared<const std::string>(value));
}

}  // namespace knap::api
