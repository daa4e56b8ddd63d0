#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Text to terms. Splitting yields slices of the source; a slice and a language give one term. The
/// two steps are apart so that an index builder folds and stems each distinct slice once, not once
/// an occurrence.
namespace knap::search {

/// Row of the language table; 0 is "unknown", the last "known, without stemmer" (Chinese, Polish):
/// ASCII words are then stemmed as English.
enum class Language : std::uint8_t { kUnknown = 0 };
constexpr std::size_t kLanguagesMax = 32;  ///< So that a set of languages is 32 bits.

Language language_of(std::string_view iso_code);
bool has_stemmer(Language language);
constexpr std::uint32_t bit(Language language) { return 1U << static_cast<unsigned>(language); }

enum class TokenKind : std::uint8_t {
  kWord,
  kPart,     ///< One part of snake_case, camelCase or 1.2.3.
  kWhole,    ///< The identifier that the parts around it make up; stands at its first part's
             ///< position.
  kBigram,   ///< Two neighbouring characters of a script without spaces.
  kUnigram,  ///< One character of such a script.
};

struct Token {
  std::string_view source;  ///< Slice of the text.
  std::uint32_t position = 0;
  TokenKind kind = TokenKind::kWord;
};

/// Longer tokens (base64, minified code) are counted as a position but give no term.
constexpr std::size_t kTokenBytesMax = 128;

namespace detail {
enum class ByteClass : std::uint8_t { kBreak, kLower, kUpper, kJoiner, kHigh };
extern const std::array<ByteClass, 256> kByteClasses;
inline ByteClass class_of(char c) { return kByteClasses[static_cast<unsigned char>(c)]; }

/// Whether the word that ends at `end` goes on in no identifier: "word." at the end of a sentence
/// does not, "word.next" does.
inline bool ends_word(std::string_view text, std::size_t end) {
  if (end == text.size()) return true;
  const ByteClass next = class_of(text[end]);
  if (next != ByteClass::kJoiner) return next == ByteClass::kBreak;
  return end + 1 == text.size() || class_of(text[end + 1]) == ByteClass::kBreak;
}

/// Reads one run of letters or one character from `begin`: appends its tokens, moves `position`,
/// returns its end.
std::size_t split_run(std::string_view text, std::size_t begin, std::uint32_t& position,
                      std::vector<Token>& out);
}  // namespace detail

/// Calls visit(const Token&) for each token in order of position. Returns the number of positions
/// used.
template <typename Visit>
std::uint32_t for_each_token(std::string_view text, Visit&& visit) {
  using detail::ByteClass;
  using detail::class_of;
  std::uint32_t position = 0;
  std::vector<Token> run;
  for (std::size_t i = 0; i < text.size();) {
    const ByteClass first = class_of(text[i]);
    if (first == ByteClass::kBreak || first == ByteClass::kJoiner) {
      ++i;
      continue;
    }
    if (first != ByteClass::kHigh) {
      // Most words are one capital at most, then small letters and digits: no need to look for
      // parts.
      std::size_t end = i + 1;
      while (end < text.size() && class_of(text[end]) == ByteClass::kLower) ++end;
      if (detail::ends_word(text, end) && end - i <= kTokenBytesMax) {
        visit(Token{text.substr(i, end - i), position++, TokenKind::kWord});
        i = end;
        continue;
      }
    }
    run.clear();
    i = detail::split_run(text, i, position, run);
    for (const Token& token : run) visit(token);
  }
  return position;
}

/// The term of a token: folded, and stemmed where the kind and the language ask for it.
void make_term(const Token& token, Language language, std::string& out);
std::string make_term(const Token& token, Language language);

bool is_stop_word(std::string_view folded_word, Language language);

}  // namespace knap::search
