#include "query_terms.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "knap/base/text.hpp"

namespace knap::search {
namespace {

constexpr std::size_t kQueryBytesMax = 16'384;
constexpr std::size_t kPhrasesMax = 8;
/// A prefix of one character would match a tenth of the dictionary.
constexpr std::size_t kPrefixBytesMin = 2;
/// Parts and single characters support the whole identifier or pair, and should not outvote it.
constexpr float kPartWeight = 0.5F;
constexpr float kUnigramWeight = 0.3F;

constexpr std::uint32_t kAllLanguages = 0xFFFFFFFF;

std::vector<Language> languages_in(std::uint32_t set) {
  std::vector<Language> out;
  for (std::uint32_t rest = set; rest != 0; rest &= rest - 1)
    out.push_back(static_cast<Language>(std::countr_zero(rest)));
  if (out.empty()) out.push_back(Language::kUnknown);
  return out;
}

std::vector<Variant> variants_of(const Token& token, const std::vector<Language>& languages) {
  std::vector<Variant> variants;
  for (const Language language : languages) {
    std::string term = make_term(token, language);
    if (term.empty()) continue;
    const auto same = std::find_if(variants.begin(), variants.end(),
                                   [&](const Variant& v) { return v.term == term; });
    if (same == variants.end()) {
      variants.push_back({std::move(term), bit(language)});
    } else {
      same->languages |= bit(language);
    }
  }
  return variants;
}

/// The language whose function words the query uses most: its stop words are dropped whatever the
/// notes' language.
Language guess_language(const std::vector<std::string>& folded,
                        const std::vector<Language>& languages) {
  Language best = language_of("en");
  std::size_t most = 0;
  const auto count = [&](Language language) {
    std::size_t stops = 0;
    for (const std::string& word : folded) stops += is_stop_word(word, language) ? 1 : 0;
    if (stops > most) most = stops, best = language;
  };
  count(best);
  for (const Language language : languages) count(language);
  return best;
}

struct Quote {
  std::size_t begin, end;  ///< Of the text between the quotation marks.
};

/// Pairs of straight or typographic double quotes.
std::vector<Quote> find_quotes(std::string_view text) {
  std::vector<Quote> quotes;
  std::size_t open = std::string_view::npos;
  for (std::size_t i = 0; i < text.size() && quotes.size() < kPhrasesMax;) {
    const std::size_t at = i;
    const char32_t c = text::decode(text, i);
    if (c != '"' && c != 0x201C && c != 0x201D && c != 0x201E) continue;
    if (open == std::string_view::npos) {
      open = i;
    } else {
      quotes.push_back({open, at});
      open = std::string_view::npos;
    }
  }
  return quotes;
}

QueryPhrase make_phrase(std::string_view text, const std::vector<Language>& languages) {
  QueryPhrase phrase;
  std::vector<Token> tokens;
  for_each_token(text, [&](const Token& token) { tokens.push_back(token); });
  const bool has_pairs = std::any_of(tokens.begin(), tokens.end(),
                                     [](const Token& t) { return t.kind == TokenKind::kBigram; });
  for (const Token& token : tokens) {
    if (token.kind == TokenKind::kWhole || (token.kind == TokenKind::kUnigram && has_pairs))
      continue;
    if (auto variants = variants_of(token, languages); !variants.empty())
      phrase.words.push_back({std::move(variants), token.position});
  }
  if (!phrase.words.empty()) {
    const std::uint32_t first = phrase.words.front().offset;
    for (auto& word : phrase.words) word.offset -= first;
  }
  return phrase;
}

struct Reader {
  std::string_view text;
  std::uint32_t words_max;
  std::vector<Language> languages;
  std::vector<Token> tokens;
  std::vector<std::string> folded;

  void read_tokens() {
    for_each_token(text, [&](const Token& token) {
      if (tokens.size() >= std::size_t{words_max} * 4) return;
      tokens.push_back(token);
      folded.push_back(text::fold(token.source));
    });
  }

  static float weight_of(const Token& token, bool lone_character) {
    if (token.kind == TokenKind::kPart) return kPartWeight;
    if (token.kind == TokenKind::kUnigram && !lone_character) return kUnigramWeight;
    return 1;
  }

  bool is_lone(std::size_t i) const {
    const auto pair_at = [&](std::size_t j) {
      return j < tokens.size() && tokens[j].kind == TokenKind::kBigram;
    };
    if (tokens[i].kind != TokenKind::kUnigram) return false;
    const bool before = i > 0 && pair_at(i - 1) &&
                        tokens[i - 1].source.ends_with(tokens[i].source) &&
                        tokens[i - 1].source.data() + tokens[i - 1].source.size() ==
                            tokens[i].source.data() + tokens[i].source.size();
    const bool after = pair_at(i + 1) && tokens[i + 1].source.data() == tokens[i].source.data();
    return !before && !after;
  }

  void add_words(QueryTerms& out, bool keep_stop_words) const;
};

void Reader::add_words(QueryTerms& out, bool keep_stop_words) const {
  const Language spoken = guess_language(folded, languages);
  for (std::size_t i = 0; i < tokens.size() && out.words.size() < words_max; ++i) {
    const Token& token = tokens[i];
    if (!keep_stop_words && is_stop_word(folded[i], spoken)) continue;
    QueryWord word;
    word.variants = variants_of(token, languages);
    if (!keep_stop_words) {
      for (Variant& variant : word.variants)
        for (const Language language : languages)
          if (is_stop_word(folded[i], language)) variant.languages &= ~bit(language);
      std::erase_if(word.variants, [](const Variant& v) { return v.languages == 0; });
    }
    if (word.variants.empty()) continue;
    const auto same = std::find_if(out.words.begin(), out.words.end(), [&](const QueryWord& other) {
      return other.variants.front().term == word.variants.front().term;
    });
    word.weight = weight_of(token, is_lone(i));
    word.position = token.position;
    word.shown = word.variants.front().term;
    if (token.kind == TokenKind::kWord) word.written = token.source;
    const bool last = i + 1 == tokens.size() &&
                      token.source.data() + token.source.size() == text.data() + text.size();
    if (last && token.kind != TokenKind::kUnigram && token.kind != TokenKind::kBigram &&
        folded[i].size() >= kPrefixBytesMin)
      word.prefix = folded[i];
    if (same != out.words.end()) {
      same->weight = std::max(same->weight, word.weight);
      if (!word.prefix.empty()) same->prefix = word.prefix;
      continue;
    }
    out.words.push_back(std::move(word));
  }
}

}  // namespace

QueryTerms parse_query(std::string_view text, std::uint32_t languages, std::uint32_t words_max) {
  Reader reader{text::truncate(text, kQueryBytesMax),
                words_max,
                languages_in(languages & kAllLanguages),
                {},
                {}};
  reader.read_tokens();
  QueryTerms out;
  reader.add_words(out, false);
  // "to be or not to be", "The Who": then the function words are what is asked for.
  if (out.words.empty()) reader.add_words(out, true);
  for (const Quote& quote : find_quotes(reader.text)) {
    QueryPhrase phrase =
        make_phrase(reader.text.substr(quote.begin, quote.end - quote.begin), reader.languages);
    if (!phrase.words.empty()) out.phrases.push_back(std::move(phrase));
  }
  for (const QueryWord& word : out.words)
    for (const Variant& variant : word.variants)
      if (std::find(out.shown.begin(), out.shown.end(), variant.term) == out.shown.end())
        out.shown.push_back(variant.term);
  return out;
}

}  // namespace knap::search
