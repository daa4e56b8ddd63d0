#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "analyser.hpp"

namespace knap::search {

/// A term and the languages of the notes in which it stands for the word: "studien" is looked up
/// under its German stem in German notes and under its English one in English notes.
struct Variant {
  std::string term;
  std::uint32_t languages = 0;  ///< Set of bit(Language).
};

struct QueryWord {
  std::vector<Variant> variants;
  std::string shown;  ///< For explain and highlights: the first variant.
  float weight = 1;
  std::uint32_t position = 0;
  std::string written;  ///< As in the query; empty when no slip may be looked for in it.
  std::string prefix;   ///< Folded beginning of a word still being typed; empty: none.
};

struct QueryPhrase {
  struct Word {
    std::vector<Variant> variants;
    std::uint32_t offset = 0;  ///< Words after the phrase's first.
  };
  std::vector<Word> words;
};

struct QueryTerms {
  std::vector<QueryWord> words;
  std::vector<QueryPhrase> phrases;  ///< Each must occur.
  std::vector<std::string> shown;    ///< All terms looked up, doubles removed.
};

/// Reads a query: words, and "quoted phrases".
/// @param languages  of the notes searched: set of bit(Language)
QueryTerms parse_query(std::string_view text, std::uint32_t languages, std::uint32_t words_max);

}  // namespace knap::search
