#include "sentence_rerank.hpp"

#include <algorithm>
#include <map>

#include "hit_order.hpp"

namespace knap::index {
namespace {

using Terms = std::vector<search::TermWeight>;

Terms weigh(const SearchHit& hit, std::string_view query,
            const std::function<float(const SearchHit&, std::string_view)>& idf) {
  Terms terms;
  for (std::string& term : search::analyse(query, hit.passage.language)) {
    const bool known = std::any_of(terms.begin(), terms.end(),
                                   [&](const auto& other) { return other.term == term; });
    if (known) continue;
    const float weight = idf(hit, term);
    terms.push_back({std::move(term), weight});
  }
  return terms;
}

}  // namespace

void rerank_by_sentences(
    std::vector<SearchHit>& hits, std::string_view query, float weight,
    const std::function<float(const SearchHit& hit, std::string_view term)>& idf) {
  if (weight <= 0 || hits.size() < 2) return;
  // Words have other stems in other languages, and another rarity in other vaults.
  std::map<std::pair<std::string, std::string>, Terms> known;
  const std::size_t count = std::min<std::size_t>(hits.size(), kRerankedHits);
  for (std::size_t i = 0; i < hits.size(); ++i) {
    SearchHit& hit = hits[i];
    if (i < count) {
      auto [terms, made] = known.try_emplace({hit.passage.vault, hit.passage.language});
      if (made) terms->second = weigh(hit, query, idf);
      std::vector<std::string> names = hit.passage.headings;
      names.push_back(hit.passage.title);
      hit.hit.parts.sentence = search::best_sentence_share(hit.passage.plain, names, terms->second,
                                                           hit.passage.language);
    }
    hit.hit.score = (hit.hit.score + weight * hit.hit.parts.sentence) / (1 + weight);
  }
  order_again(hits, count);
}

}  // namespace knap::index
