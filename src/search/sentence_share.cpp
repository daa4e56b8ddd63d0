#include <algorithm>

#include "analyser.hpp"
#include "knap/base/text.hpp"
#include "knap/search/index.hpp"
#include "term_beginnings.hpp"

namespace knap::search {
namespace {

constexpr std::size_t kTermsMax = 64;  ///< One bit each.
/// Passages are cut to the window of the embedding model; anything longer is not prose.
constexpr std::size_t kSourceMax = 64U << 10;

/// Whether what stands between two words ends a sentence: a line's end, a full stop before white
/// space, or a full stop of scripts without spaces.
bool ends_sentence(std::string_view gap) {
  static constexpr std::string_view kWide[] = {"\xE3\x80\x82", "\xEF\xBC\x81", "\xEF\xBC\x9F"};
  for (std::size_t i = 0; i < gap.size(); ++i) {
    const char c = gap[i];
    if (c == '\n') return true;
    if ((c == '.' || c == '!' || c == '?') && i + 1 < gap.size() &&
        (gap[i + 1] == ' ' || gap[i + 1] == '\n' || gap[i + 1] == '\r'))
      return true;
    for (const std::string_view mark : kWide)
      if (gap.substr(i, mark.size()) == mark) return true;
  }
  return false;
}

}  // namespace

float best_sentence_share(std::string_view plain, std::span<const TermWeight> terms,
                          std::string_view language) {
  const Language spoken = language_of(language);
  terms = terms.first(std::min(terms.size(), kTermsMax));
  TermBeginnings beginnings(spoken);
  float all = 0;
  for (const TermWeight& term : terms) {
    beginnings.add(term.term);
    all += term.weight;
  }
  if (all <= 0) return 0;
  float best = 0, held = 0;
  std::uint64_t seen = 0;
  std::size_t last_end = 0;
  std::string here;
  const std::string_view text = text::truncate(plain, kSourceMax);
  for_each_token(text, [&](const Token& token) {
    const auto begin = static_cast<std::size_t>(token.source.data() - text.data());
    if (begin > last_end && ends_sentence(text.substr(last_end, begin - last_end))) {
      best = std::max(best, held);
      held = 0;
      seen = 0;
    }
    last_end = std::max(last_end, begin + token.source.size());
    if (!beginnings.may_be_term(token.source)) return;
    make_term(token, spoken, here);
    for (std::size_t i = 0; i < terms.size(); ++i) {
      if (terms[i].term != here || (seen >> i & 1U) != 0) continue;
      seen |= std::uint64_t{1} << i;
      held += terms[i].weight;
      break;
    }
  });
  return std::clamp(std::max(best, held) / all, 0.0F, 1.0F);
}

}  // namespace knap::search
