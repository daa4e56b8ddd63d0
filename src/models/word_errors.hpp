#pragma once

#include <cstddef>
#include <string_view>

namespace knap::models {

struct WordErrors {
  std::size_t words = 0;   ///< That were said.
  std::size_t errors = 0;  ///< Words put in another's place, left out, or added.

  WordErrors& operator+=(const WordErrors& other) {
    words += other.words;
    errors += other.errors;
    return *this;
  }
  /// Errors by words, 0 for none; more than 1 when much was invented.
  double rate() const {
    return words == 0 ? 0 : static_cast<double>(errors) / static_cast<double>(words);
  }
};

/// Compares what was said with what was heard: the fewest words to change (Levenshtein). Case,
/// punctuation and white space do not count; numbers in digits and in words differ. Words are what
/// letters and digits form together, so of languages without blanks a stretch counts as one.
/// Looks at the first 10,000 words of each. Pure.
WordErrors count_word_errors(std::string_view said, std::string_view heard);

}  // namespace knap::models
