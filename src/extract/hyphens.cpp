#include "hyphens.hpp"

#include <array>
#include <utility>

#include "knap/base/text.hpp"

namespace knap::extract {
namespace {

constexpr std::size_t kWordsMax = 1'000'000;
constexpr std::size_t kWordBytesMax = 100;
// U+002D and U+2010; soft hyphens have gone before, where the line was cleaned.
constexpr std::array<std::string_view, 2> kHyphens{"-", "\xE2\x80\x90"};

/// Length of the hyphen at the end; 0: none.
std::size_t hyphen_at_end(std::string_view text) {
  for (const std::string_view hyphen : kHyphens) {
    if (text.size() > hyphen.size() && text.ends_with(hyphen)) return hyphen.size();
  }
  return 0;
}

bool is_word_part(std::string_view text, std::size_t& at) {
  const char32_t c = text::decode(text, at);
  return text::is_alphanumeric(c) || c == U'-' || c == U'\u2010';
}

/// The letters and hyphens at the end of `text`.
std::string_view last_word(std::string_view text) {
  std::size_t begin = text.size();
  while (begin > 0 && text.size() - begin < kWordBytesMax) {
    std::size_t previous = begin - 1;
    while (previous > 0 && (static_cast<unsigned char>(text[previous]) & 0xC0) == 0x80) --previous;
    std::size_t at = previous;
    if (!is_word_part(text, at)) break;
    begin = previous;
  }
  return text.substr(begin);
}

std::string_view first_word(std::string_view text) {
  std::size_t end = 0;
  while (end < text.size() && end < kWordBytesMax) {
    std::size_t at = end;
    if (!is_word_part(text, at)) break;
    end = at;
  }
  return text.substr(0, end);
}

bool starts_with_small_letter(std::string_view text) {
  if (text.empty()) return false;
  std::size_t at = 0;
  const char32_t c = text::decode(text, at);
  if (!text::is_alphanumeric(c) || (c >= U'0' && c <= U'9') || text::is_cjk(c)) return false;
  const std::string letter(text.substr(0, at));
  return text::fold_case(letter) == letter;
}

}  // namespace

void Hyphens::learn(std::string_view line) {
  for (std::size_t begin = 0; begin < line.size() && words_.size() < kWordsMax;) {
    const std::string_view word = first_word(line.substr(begin));
    if (word.empty()) {
      std::size_t at = begin;
      text::decode(line, at);
      begin = at;
      continue;
    }
    begin += word.size();
    const bool cut = begin == line.size() && hyphen_at_end(word) > 0;
    if (!cut && word.size() < kWordBytesMax) words_.insert(text::fold_case(word));
  }
}

bool Hyphens::divided(std::string_view before, std::string_view after) const {
  const std::string first = text::fold_case(before);
  const std::string second = text::fold_case(after);
  if (words_.contains(first + second)) return true;
  if (words_.contains(first + "-" + second)) return false;
  return !(words_.contains(first) && words_.contains(second));
}

void Hyphens::join(std::string& paragraph, std::string_view line) const {
  const std::size_t hyphen = hyphen_at_end(paragraph);
  const std::string_view before =
      last_word(std::string_view(paragraph).substr(0, paragraph.size() - hyphen));
  if (hyphen == 0 || before.empty() || line.empty()) {
    const auto wide = [](std::string_view text, std::size_t at) {
      return text::is_cjk(text::decode(text, at));
    };
    // Scripts without spaces have none between lines.
    std::size_t last = paragraph.size();
    while (last > 0 && (static_cast<unsigned char>(paragraph[--last]) & 0xC0) == 0x80) {
    }
    const bool together =
        !paragraph.empty() && !line.empty() && wide(paragraph, last) && wide(line, 0);
    if (!paragraph.empty() && !together) paragraph += ' ';
  } else if (starts_with_small_letter(line) && divided(before, first_word(line))) {
    paragraph.resize(paragraph.size() - hyphen);
  }
  paragraph += line;
}

}  // namespace knap::extract
