#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace knap::answer {

/// One word of a text and what comparing sentences needs to know of it. A run of Chinese, Japanese
/// or Korean gives one Word for each piece (bigram) that the index makes of it, all with the run's
/// place.
struct Word {
  std::string stem;    ///< As the index analyses it; for numbers their value, see `number`.
  std::string folded;  ///< Case and diacritics folded.
  std::string
      number;  ///< Value in one form ("1,000", "1000" -> "1000"; "two" -> "2"); empty: no number.
  std::uint32_t begin = 0, end = 0;  ///< Bytes of the text.
  bool content = false;              ///< Not a stop word.
  bool capital = false;              ///< Begins with an upper-case letter.
  bool acronym = false;  ///< At least two letters, all upper-case, or letters mixed with digits.
  bool cjk = false;
};

/// Splits texts of one language into words. Remembers stems, as the same words come again and again
/// within one question. Threads: one at a time.
class WordReader {
 public:
  /// Longer texts are read up to here; a passage is far shorter.
  static constexpr std::size_t kMaxWords = 4'000;

  explicit WordReader(std::string language) : language_(std::move(language)) {}
  std::vector<Word> read(std::string_view text);
  const std::string& language() const { return language_; }

 private:
  struct Known {
    std::string folded;
    std::vector<std::string> stems;
    bool content = false;
  };
  const Known& look_up(std::string_view word);

  std::string language_;
  std::unordered_map<std::string, Known> known_;
};

/// The one form of a number as written, or of a number word of English or German; empty when it is
/// none.
std::string number_value(std::string_view folded);

/// True for not, no, never, without, nicht, kein... of the languages Knap knows best.
bool is_negation(std::string_view folded);

/// True where all nouns begin with a capital, so that a capital says nothing about names.
bool capitalises_nouns(std::string_view language);

/// How alike two stems are: 1 equal, about 0.6 when one word family is likely (a long common
/// beginning), else 0.
float stem_likeness(std::string_view a, std::string_view b);

/// Lower-cased name-like words: capitals that do not merely open a sentence, and acronyms.
/// @param words  of one sentence or question
std::vector<bool> mark_names(const std::vector<Word>& words, std::string_view text,
                             std::string_view language);

/// "en" or "de" by their function words; else the fallback.
std::string guess_language(std::string_view text, std::string_view fallback);

}  // namespace knap::answer
