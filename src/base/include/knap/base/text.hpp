#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

/// Unicode text. All functions are pure and safe from any thread. Invalid UTF-8 never traps: see
/// each function.
namespace knap::text {

bool is_valid_utf8(std::string_view bytes);

/// Each maximal ill-formed part becomes U+FFFD. Line structure is kept: no byte 0x0A is added or
/// lost.
std::string repair_utf8(std::string_view bytes);

/// NFC form. Invalid input is repaired first.
std::string nfc(std::string_view utf8);

/// Comparison key: NFKC, case folded, diacritics (combining marks of Latin, Greek, Cyrillic bases)
/// removed. "Élan" -> "elan", "ﬁ" -> "fi", "Straße" -> "strasse".
std::string fold(std::string_view utf8);

/// Case folded NFC that keeps diacritics: how Obsidian compares note names and tags.
std::string fold_case(std::string_view utf8);

/// Decodes the code point at `offset` and moves `offset` past it. Ill-formed bytes give U+FFFD and
/// advance by one.
/// @pre offset < utf8.size()
char32_t decode(std::string_view utf8, std::size_t& offset);
void append(std::string& out, char32_t code_point);

bool is_alphanumeric(char32_t code_point);  ///< Letters, marks and numbers of any script.
bool is_cjk(char32_t code_point);  ///< Han, Hiragana, Katakana, Hangul: written without spaces.
bool is_space(char32_t code_point);

std::string_view trim(std::string_view text);  ///< ASCII white space from both ends.

/// At most max_bytes, cut at a code-point boundary.
std::string_view truncate(std::string_view utf8, std::size_t max_bytes);

/// Levenshtein distance with early exit: any value > limit means "more than limit". For "did you
/// mean".
std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit);

}  // namespace knap::text
