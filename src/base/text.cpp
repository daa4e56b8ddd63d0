#include "knap/base/text.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include <utf8proc.h>

namespace knap::text {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

bool is_ascii(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

/// Length of the well-formed sequence at offset, 0 when ill-formed (Unicode 15, table 3-7).
std::size_t sequence_length(std::string_view bytes, std::size_t offset) {
  const auto at = [&](std::size_t i) -> unsigned { return static_cast<unsigned char>(bytes[i]); };
  const unsigned lead = at(offset);
  if (lead < 0x80) return 1;
  const std::size_t left = bytes.size() - offset;
  const auto continues = [&](std::size_t i) { return (at(offset + i) & 0xC0) == 0x80; };
  if (lead >= 0xC2 && lead <= 0xDF) return left >= 2 && continues(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if (left < 3 || !continues(1) || !continues(2)) return 0;
    const unsigned second = at(offset + 1);
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F)) return 0;
    return 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (left < 4 || !continues(1) || !continues(2) || !continues(3)) return 0;
    const unsigned second = at(offset + 1);
    if ((lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) return 0;
    return 4;
  }
  return 0;
}

std::string map(std::string_view utf8, int options) {
  const std::string repaired = is_valid_utf8(utf8) ? std::string() : repair_utf8(utf8);
  const std::string_view source = repaired.empty() ? utf8 : std::string_view(repaired);
  utf8proc_uint8_t* raw = nullptr;
  const auto length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(source.data()),
                                   static_cast<utf8proc_ssize_t>(source.size()), &raw,
                                   static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(raw, std::free);
  if (length < 0) return std::string(source);
  return std::string(reinterpret_cast<const char*>(raw), static_cast<std::size_t>(length));
}

/// Case folding and composition of one code point where it does not depend on its neighbours and
/// gives one code point: most letters of European names, Chinese, Japanese and Korean syllables,
/// symbols. 0 where the tables must be asked. A range here holds only code points with combining
/// class 0 that no composition begins or ends with, except that a mark may follow: marks are in no
/// range. text_test.cpp compares every code point with the tables.
char32_t fold_alone(char32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z' ? c + 0x20 : c;
  if (c < 0xC0) return c == 0xB5 ? 0 : c;
  if (c < 0xDF) return c == 0xD7 ? c : c + 0x20;
  if (c < 0x100) return c == 0xDF ? 0 : c;
  if (c >= 0x410 && c <= 0x44F) return c < 0x430 ? c + 0x20 : c;  // Cyrillic
  if (c >= 0x450 && c <= 0x45F) return c;
  if (c >= 0x2010 && c <= 0x2027) return c;                                    // dashes, quotes
  if (c >= 0x3001 && c <= 0x3020) return c;                                    // CJK punctuation
  if ((c >= 0x3041 && c <= 0x3096) || (c >= 0x30A0 && c <= 0x30FE)) return c;  // kana
  if ((c >= 0x3400 && c <= 0x4DBF) || (c >= 0x4E00 && c <= 0x9FFF)) return c;  // ideographs
  if (c >= 0x1F300 && c <= 0x1FAFF) return c;                                  // emoji
  // A Korean syllable without a final consonant composes with one that follows, which is in no
  // range.
  if (c >= 0xAC00 && c <= 0xD7A3) return c;
  return 0;
}

/// fold_case() by fold_alone(); false where a code point needs the tables.
bool fold_quickly(std::string_view utf8, std::string& out) {
  out.reserve(utf8.size());
  for (std::size_t i = 0; i < utf8.size();) {
    const auto byte = static_cast<unsigned char>(utf8[i]);
    const char32_t folded = fold_alone(byte < 0x80 ? byte : decode(utf8, i));
    if (byte < 0x80) ++i;
    if (folded == 0) return false;
    if (folded < 0x80) {
      out.push_back(static_cast<char>(folded));
    } else {
      append(out, folded);
    }
  }
  return true;
}

std::string lower_ascii(std::string_view bytes) {
  std::string out(bytes);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return out;
}

std::string fold_by_tables(std::string_view utf8) {
  // Marks of scripts that need them (Devanagari vowels, Thai tones) would be lost by
  // UTF8PROC_STRIPMARK alone, so the marks are removed here only in the block of combining
  // diacritical marks that Latin, Greek and Cyrillic use.
  const std::string decomposed =
      map(utf8, UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE | UTF8PROC_CASEFOLD);
  std::string out;
  out.reserve(decomposed.size());
  for (std::size_t i = 0; i < decomposed.size();) {
    const std::size_t begin = i;
    const char32_t c = decode(decomposed, i);
    if (c >= 0x300 && c <= 0x36F) continue;
    out.append(decomposed, begin, i - begin);
  }
  return nfc(out);
}

/// What fold() makes of the letters of Latin, Greek and Cyrillic, asked of the tables once: what is
/// left of them without marks composes with no neighbour.
class FoldedLetters {
 public:
  FoldedLetters() {
    for (std::size_t i = 0; i < letters_.size(); ++i) {
      std::string utf8;
      append(utf8, static_cast<char32_t>(i < kFirst.size ? kFirst.begin + i
                                                         : kSecond.begin + (i - kFirst.size)));
      const std::string folded = fold_by_tables(utf8);
      if (folded.size() > sizeof(Letter::bytes)) continue;
      std::copy(folded.begin(), folded.end(), letters_[i].bytes);
      letters_[i].size = static_cast<std::uint8_t>(folded.size());
    }
  }
  /// Empty: the tables must be asked.
  std::string_view of(char32_t c) const {
    const std::size_t first = c - kFirst.begin, second = c - kSecond.begin;
    if (first < kFirst.size) return letters_[first].view();
    if (second < kSecond.size) return letters_[kFirst.size + second].view();
    return {};
  }

 private:
  struct Range {
    char32_t begin;
    std::size_t size;
  };
  static constexpr Range kFirst{0xC0, 0x530 - 0xC0}, kSecond{0x1E00, 0x100};
  struct Letter {
    char bytes[7] = {};
    std::uint8_t size = 0;
    std::string_view view() const { return {bytes, size}; }
  };
  std::array<Letter, kFirst.size + kSecond.size> letters_{};
};

/// fold() for the letters above and those of Chinese, Japanese and Korean, which stay as they are;
/// false where the tables must be asked. text_test.cpp compares every code point with them.
bool fold_letters(std::string_view utf8, std::string& out) {
  static const FoldedLetters kLetters;
  out.reserve(utf8.size());
  for (std::size_t i = 0; i < utf8.size();) {
    const char byte = utf8[i];
    if (static_cast<unsigned char>(byte) < 0x80) {
      out.push_back(byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte + ('a' - 'A')) : byte);
      ++i;
      continue;
    }
    const std::size_t begin = i;
    const char32_t c = decode(utf8, i);
    const bool same = (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
                      (c >= 0x3041 && c <= 0x3096) || (c >= 0x30A0 && c <= 0x30FE) ||
                      (c >= 0xAC00 && c <= 0xD7A3);
    const std::string_view folded = same ? utf8.substr(begin, i - begin) : kLetters.of(c);
    if (folded.empty()) return false;
    out.append(folded);
  }
  return true;
}

}  // namespace

bool is_valid_utf8(std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size();) {
    // Most of most texts is ASCII: eight bytes at a time.
    std::uint64_t eight = 0;
    if (bytes.size() - i >= sizeof eight) {
      std::memcpy(&eight, bytes.data() + i, sizeof eight);
      if ((eight & 0x8080'8080'8080'8080) == 0) {
        i += sizeof eight;
        continue;
      }
    }
    const std::size_t length = sequence_length(bytes, i);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

std::string repair_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (std::size_t i = 0; i < bytes.size();) {
    if (const std::size_t length = sequence_length(bytes, i)) {
      out.append(bytes.substr(i, length));
      i += length;
      continue;
    }
    out += "\xEF\xBF\xBD";
    ++i;
    while (i < bytes.size() && (static_cast<unsigned char>(bytes[i]) & 0xC0) == 0x80) ++i;
  }
  return out;
}

std::string nfc(std::string_view utf8) {
  if (is_ascii(utf8)) return std::string(utf8);
  return map(utf8, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
}

std::string fold(std::string_view utf8) {
  if (is_ascii(utf8)) return lower_ascii(utf8);
  if (std::string out; fold_letters(utf8, out)) return out;
  return fold_by_tables(utf8);
}

std::string fold_case(std::string_view utf8) {
  if (is_ascii(utf8)) return lower_ascii(utf8);
  if (std::string out; fold_quickly(utf8, out)) return out;
  return map(utf8, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD);
}

char32_t decode(std::string_view utf8, std::size_t& offset) {
  const std::size_t length = sequence_length(utf8, offset);
  const auto at = [&](std::size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(utf8[offset + i]));
  };
  char32_t out = kReplacement;
  switch (length) {
    case 1: out = at(0); break;
    case 2: out = (at(0) & 0x1F) << 6 | (at(1) & 0x3F); break;
    case 3: out = (at(0) & 0x0F) << 12 | (at(1) & 0x3F) << 6 | (at(2) & 0x3F); break;
    case 4:
      out = (at(0) & 0x07) << 18 | (at(1) & 0x3F) << 12 | (at(2) & 0x3F) << 6 | (at(3) & 0x3F);
      break;
    default: break;
  }
  offset += std::max<std::size_t>(1, length);
  return out;
}

void append(std::string& out, char32_t code_point) {
  utf8proc_uint8_t buffer[4];
  const auto length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code_point), buffer);
  out.append(reinterpret_cast<const char*>(buffer), static_cast<std::size_t>(length));
}

bool is_alphanumeric(char32_t code_point) {
  if (code_point < 0x80) {
    return (code_point >= '0' && code_point <= '9') || (code_point >= 'a' && code_point <= 'z') ||
           (code_point >= 'A' && code_point <= 'Z');
  }
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code_point))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return true;
    default: return false;
  }
}

bool is_cjk(char32_t c) {
  return (c >= 0x3040 && c <= 0x30FF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xAC00 && c <= 0xD7AF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x20000 && c <= 0x3FFFF) ||
         (c >= 0x31F0 && c <= 0x31FF) || c == 0x3005;
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  return c == 0x85 || utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_ZS ||
         c == 0x2028 || c == 0x2029;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\v\f";
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string_view truncate(std::string_view utf8, std::size_t max_bytes) {
  if (utf8.size() <= max_bytes) return utf8;
  std::size_t end = max_bytes;
  while (end > 0 && (static_cast<unsigned char>(utf8[end]) & 0xC0) == 0x80) --end;
  return utf8.substr(0, end);
}

std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit) {
  if (a.size() > b.size()) std::swap(a, b);
  if (b.size() - a.size() > limit) return limit + 1;
  std::vector<std::size_t> row(a.size() + 1);
  for (std::size_t i = 0; i <= a.size(); ++i) row[i] = i;
  for (std::size_t j = 1; j <= b.size(); ++j) {
    std::size_t diagonal = row[0];
    row[0] = j;
    std::size_t best = row[0];
    for (std::size_t i = 1; i <= a.size(); ++i) {
      const std::size_t above = row[i];
      row[i] = std::min({above + 1, row[i - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
      best = std::min(best, row[i]);
    }
    if (best > limit) return limit + 1;
  }
  return row[a.size()];
}

}  // namespace knap::text
