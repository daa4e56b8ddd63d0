#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "knap/index/service.hpp"

namespace knap::index {

/// So many of the first results are put in order again: what stands below is not seen.
inline constexpr std::uint32_t kRerankedHits = 10;

/// Lifts, among the first kRerankedHits, those whose passage holds much of the query in one
/// sentence: scores become (score + weight * share) / (1 + weight). Notes that have the name asked
/// for stay first; scores fall from hit to hit as before. Texts must be filled in.
/// @param idf  of a term, in the vault of a hit
void rerank_by_sentences(
    std::vector<SearchHit>& hits, std::string_view query, float weight,
    const std::function<float(const SearchHit& hit, std::string_view term)>& idf);

}  // namespace knap::index
