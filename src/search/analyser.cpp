#include "analyser.hpp"

#include <algorithm>

#include "knap/base/text.hpp"
#include "knap/search/index.hpp"
#include "stemmer.hpp"

namespace knap::search {
namespace detail {
namespace {

constexpr std::array<ByteClass, 256> make_classes() {
  std::array<ByteClass, 256> classes{};
  for (int c = 0; c < 256; ++c) {
    ByteClass value = ByteClass::kBreak;
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) value = ByteClass::kLower;
    if (c >= 'A' && c <= 'Z') value = ByteClass::kUpper;
    if (c == '_' || c == '.' || c == '\'') value = ByteClass::kJoiner;
    if (c >= 0x80) value = ByteClass::kHigh;
    classes[static_cast<std::size_t>(c)] = value;
  }
  return classes;
}

constexpr char32_t kApostrophe = 0x2019;

/// Scripts whose words are not set apart by spaces: found by overlapping pairs of characters.
bool is_dense(char32_t c) {
  return text::is_cjk(c) || (c >= 0x0E00 && c <= 0x0EFF) || (c >= 0x1000 && c <= 0x109F) ||
         (c >= 0x1780 && c <= 0x17FF);
}

bool is_word(char32_t c) { return text::is_alphanumeric(c) && !is_dense(c); }
bool is_joiner(char32_t c) { return c == '_' || c == '.' || c == '\'' || c == kApostrophe; }

std::size_t split_dense(std::string_view text, std::size_t begin, std::uint32_t& position,
                        std::vector<Token>& out) {
  std::size_t previous = begin;
  bool has_previous = false;
  for (std::size_t i = begin; i < text.size();) {
    std::size_t end = i;
    const char32_t c = text::decode(text, end);
    if (!is_dense(c) || !text::is_alphanumeric(c)) return i > begin ? i : end;
    if (has_previous)
      out.push_back({text.substr(previous, end - previous), position - 1, TokenKind::kBigram});
    out.push_back({text.substr(i, end - i), position++, TokenKind::kUnigram});
    has_previous = true;
    previous = i;
    i = end;
  }
  return text.size();
}

bool is_clitic(std::string_view part) {
  static constexpr std::string_view kClitics[] = {"s", "t", "re", "ve", "ll", "d", "m", "S", "T"};
  return std::find(std::begin(kClitics), std::end(kClitics), part) != std::end(kClitics);
}

bool is_upper(char c) { return class_of(c) == ByteClass::kUpper; }
bool is_lower_letter(char c) { return c >= 'a' && c <= 'z'; }

/// Where camelCase breaks: "fooBar" before B, "HTTPServer" before S; never leaves less than two
/// characters on a side, so that iPhone, mRNA and PDFs stay whole.
bool is_camel_border(std::string_view word, std::size_t at) {
  if (at < 2 || at + 2 > word.size() || !is_upper(word[at])) return false;
  if (is_lower_letter(word[at - 1])) return is_lower_letter(word[at - 2]) || is_upper(word[at - 2]);
  return is_upper(word[at - 1]) && at + 2 < word.size() && is_lower_letter(word[at + 1]) &&
         is_lower_letter(word[at + 2]);
}

void push_camel_parts(std::string_view word, std::vector<std::string_view>& parts) {
  std::size_t begin = 0;
  for (std::size_t i = 1; i < word.size(); ++i) {
    if (i - begin < 2 || !is_camel_border(word, i)) continue;
    parts.push_back(word.substr(begin, i - begin));
    begin = i;
  }
  parts.push_back(word.substr(begin));
}

/// Splits a run of letters and joiners into parts; sets `whole` when the run is an identifier worth
/// a term of its own.
void split_parts(std::string_view run, std::vector<std::string_view>& parts, bool& whole) {
  std::size_t begin = 0;
  bool after_apostrophe = false;
  const auto close = [&](std::size_t end) {
    const std::string_view word = run.substr(begin, end - begin);
    if (after_apostrophe && is_clitic(word)) return;
    push_camel_parts(word, parts);
  };
  for (std::size_t i = 0; i < run.size();) {
    const std::size_t at = i;
    const char32_t c = text::decode(run, i);
    if (!is_joiner(c)) continue;
    close(at);
    begin = i;
    after_apostrophe = c == '\'' || c == kApostrophe;
    if (!after_apostrophe) whole = true;
  }
  close(run.size());
  if (parts.size() > 1 && run.find('\'') == std::string_view::npos &&
      run.find("\xE2\x80\x99") == std::string_view::npos)
    whole = true;
}

}  // namespace

const std::array<ByteClass, 256> kByteClasses = make_classes();

std::size_t split_run(std::string_view text, std::size_t begin, std::uint32_t& position,
                      std::vector<Token>& out) {
  std::size_t end = begin;
  const char32_t first = text::decode(text, end);
  if (is_dense(first)) return split_dense(text, begin, position, out);
  if (!is_word(first)) return end;
  while (end < text.size()) {
    std::size_t next = end;
    const char32_t c = text::decode(text, next);
    if (!is_word(c)) {
      if (!is_joiner(c) || next >= text.size()) break;
      std::size_t after = next;
      if (!is_word(text::decode(text, after))) break;
      next = after;
    }
    end = next;
  }
  const std::string_view run = text.substr(begin, end - begin);
  std::vector<std::string_view> parts;
  bool whole = false;
  split_parts(run, parts, whole);
  whole = whole && parts.size() > 1;
  if (whole && run.size() <= kTokenBytesMax) out.push_back({run, position, TokenKind::kWhole});
  for (const std::string_view part : parts) {
    if (part.size() <= kTokenBytesMax)
      out.push_back({part, position, whole ? TokenKind::kPart : TokenKind::kWord});
    ++position;
  }
  return end;
}

}  // namespace detail

void make_term(const Token& token, Language language, std::string& out) {
  bool ascii = true, digits = false, joined = false;
  out.assign(token.source);
  for (char& c : out) {
    const auto byte = static_cast<unsigned char>(c);
    ascii &= byte < 0x80;
    digits |= c >= '0' && c <= '9';
    joined |= c == '_' || c == '.';
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  const bool stems =
      !digits && !joined && token.kind != TokenKind::kBigram && token.kind != TokenKind::kUnigram;
  if (!ascii) {
    // Russian endings hang on letters whose marks folding takes away, so there the stemmer comes
    // first.
    if (stems && stems_before_folding(language)) {
      out = text::fold_case(out);
      stem(language, out);
      out = text::fold(out);
      return;
    }
    out = text::fold(out);
  }
  if (stems && (ascii || has_stemmer(language))) stem(language, out);
}

std::string make_term(const Token& token, Language language) {
  std::string out;
  make_term(token, language, out);
  return out;
}

std::vector<std::string> analyse(std::string_view text, std::string_view language) {
  const Language row = language_of(language);
  std::vector<std::string> terms;
  for_each_token(text, [&](const Token& token) {
    // Single characters matter only where there is no pair that holds them.
    if (token.kind == TokenKind::kUnigram) {
      const char* end = token.source.data() + token.source.size();
      std::size_t next = static_cast<std::size_t>(end - text.data());
      if (next < text.size() && text::is_cjk(text::decode(text, next))) return;
      std::size_t begin = static_cast<std::size_t>(token.source.data() - text.data());
      while (begin > 0 && (static_cast<unsigned char>(text[--begin]) & 0xC0) == 0x80) {
      }
      std::size_t at = begin;
      if (token.source.data() != text.data() && text::is_cjk(text::decode(text, at))) return;
    }
    std::string term = make_term(token, row);
    if (!term.empty()) terms.push_back(std::move(term));
  });
  return terms;
}

bool is_stop_word(std::string_view folded_word, std::string_view language) {
  return is_stop_word(folded_word, language_of(language));
}

}  // namespace knap::search
