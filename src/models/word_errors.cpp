#include "word_errors.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "knap/base/text.hpp"

namespace knap::models {
namespace {

constexpr std::size_t kWordsMax = 10'000;

std::vector<std::string> words_of(std::string_view text) {
  const std::string folded = text::fold_case(text);
  std::vector<std::string> words;
  std::string word;
  for (std::size_t at = 0; at < folded.size() && words.size() < kWordsMax;) {
    const char32_t letter = text::decode(folded, at);
    // "don't" is one word, however it is written.
    if (letter == U'\'' || letter == U'\u2019') continue;
    if (text::is_alphanumeric(letter)) {
      text::append(word, letter);
    } else if (!word.empty()) {
      words.push_back(std::exchange(word, {}));
    }
  }
  if (!word.empty() && words.size() < kWordsMax) words.push_back(std::move(word));
  return words;
}

}  // namespace

WordErrors count_word_errors(std::string_view said, std::string_view heard) {
  const auto wanted = words_of(said), got = words_of(heard);
  std::vector<std::size_t> row(got.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < got.size(); ++j) {
      const std::size_t replaced = diagonal + (wanted[i] == got[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return {wanted.size(), row.back()};
}

}  // namespace knap::models
