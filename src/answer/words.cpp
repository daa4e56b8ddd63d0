#include "words.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <unordered_set>
#include <utility>

#include "knap/base/text.hpp"
#include "knap/search/index.hpp"

namespace knap::answer {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_upper(char32_t code_point) {
  if (code_point < 0x80) return code_point >= 'A' && code_point <= 'Z';
  std::string one;
  text::append(one, code_point);
  return text::fold_case(one) != text::nfc(one);
}

bool is_letter_or_digit(char32_t code_point) { return text::is_alphanumeric(code_point); }

/// A stretch of letters and digits, with apostrophes between letters and separators between digits.
struct Run {
  std::size_t begin = 0, end = 0;
  bool cjk = false;
};

/// The run that starts at or after `offset`; begin == end at the end of the text.
Run next_run(std::string_view text, std::size_t offset) {
  Run run;
  while (offset < text.size()) {
    std::size_t after = offset;
    const char32_t first = text::decode(text, after);
    if (!is_letter_or_digit(first)) {
      offset = after;
      continue;
    }
    run = {offset, after, text::is_cjk(first)};
    while (run.end < text.size()) {
      std::size_t next = run.end;
      const char32_t c = text::decode(text, next);
      if (is_letter_or_digit(c)) {
        if (text::is_cjk(c) != run.cjk) break;
        run.end = next;
        continue;
      }
      const bool apostrophe = c == U'\'' || c == U'\u2019';
      const bool separator = (c == U'.' || c == U',') && is_digit(text[run.end - 1]);
      if ((!apostrophe && !separator) || next >= text.size()) break;
      std::size_t beyond = next;
      const char32_t following = text::decode(text, beyond);
      if (!is_letter_or_digit(following) || text::is_cjk(following)) break;
      if (separator && !(following >= U'0' && following <= U'9')) break;
      run.end = beyond;
    }
    return run;
  }
  run.begin = run.end = text.size();
  return run;
}

/// "Obama's" -> "Obama": the possessive says nothing about the word.
std::string_view without_possessive(std::string_view word) {
  for (const std::string_view ending : {std::string_view("'s"), std::string_view("\u2019s")}) {
    if (word.size() > ending.size() && word.ends_with(ending)) {
      return word.substr(0, word.size() - ending.size());
    }
  }
  return word;
}

struct NumberWord {
  std::string_view word, value;
};
// "one" and "ein" are left out: they are articles and pronouns far more often than numbers.
constexpr std::array kNumberWords{
    NumberWord{"two", "2"},       NumberWord{"three", "3"},     NumberWord{"four", "4"},
    NumberWord{"five", "5"},      NumberWord{"six", "6"},       NumberWord{"seven", "7"},
    NumberWord{"eight", "8"},     NumberWord{"nine", "9"},      NumberWord{"ten", "10"},
    NumberWord{"eleven", "11"},   NumberWord{"twelve", "12"},   NumberWord{"thirteen", "13"},
    NumberWord{"fourteen", "14"}, NumberWord{"fifteen", "15"},  NumberWord{"sixteen", "16"},
    NumberWord{"twenty", "20"},   NumberWord{"thirty", "30"},   NumberWord{"forty", "40"},
    NumberWord{"fifty", "50"},    NumberWord{"hundred", "100"}, NumberWord{"thousand", "1000"},
    NumberWord{"zwei", "2"},      NumberWord{"drei", "3"},      NumberWord{"vier", "4"},
    NumberWord{"funf", "5"},      NumberWord{"sechs", "6"},     NumberWord{"sieben", "7"},
    NumberWord{"acht", "8"},      NumberWord{"neun", "9"},      NumberWord{"zehn", "10"},
    NumberWord{"elf", "11"},      NumberWord{"zwolf", "12"},    NumberWord{"zwanzig", "20"},
    NumberWord{"dreissig", "30"}, NumberWord{"hundert", "100"}, NumberWord{"tausend", "1000"},
};

}  // namespace

std::string number_value(std::string_view folded) {
  if (folded.empty()) return {};
  if (!is_digit(folded.front())) {
    const auto* found = std::ranges::find(kNumberWords, folded, &NumberWord::word);
    return found == kNumberWords.end() ? std::string() : std::string(found->value);
  }
  for (const std::string_view ordinal : {"st", "nd", "rd", "th"}) {
    if (folded.ends_with(ordinal)) folded.remove_suffix(ordinal.size());
  }
  std::string value;
  for (std::size_t i = 0; i < folded.size(); ++i) {
    const char c = folded[i];
    if (c != ',' && c != '.') {
      value += c;
      continue;
    }
    // A separator before exactly three digits groups thousands in one language or another; both
    // sides of a comparison are read the same way, so that a decimal of three places does no harm.
    std::size_t digits = 0;
    while (i + 1 + digits < folded.size() && is_digit(folded[i + 1 + digits])) ++digits;
    if (digits != 3) value += '.';
  }
  return value;
}

bool is_negation(std::string_view folded) {
  static const std::unordered_set<std::string_view> kWords{
      "not",    "no",      "never",   "without", "neither", "nor",     "none",   "cannot",
      "nobody", "nothing", "nicht",   "kein",    "keine",   "keinen",  "keinem", "keiner",
      "keines", "nie",     "niemals", "ohne",    "weder",   "niemand", "nichts", "pas",
      "jamais", "sans",    "nunca",   "sin",     "hardly",  "unable",  "fail",   "fails",
      "failed", "lack",    "lacks",   "lacked",  "lacking", "absence", "absent"};
  return kWords.contains(folded) || folded.ends_with("n't") || folded.ends_with("n\u2019t");
}

bool capitalises_nouns(std::string_view language) { return language == "de" || language == "lb"; }

float stem_likeness(std::string_view a, std::string_view b) {
  if (a == b) return 1;
  const std::size_t shorter = std::min(a.size(), b.size()), longer = std::max(a.size(), b.size());
  // Below four letters, or with a third of the longer word differing, a common beginning is mostly
  // chance.
  if (shorter < 4 || longer > 40) return 0;
  std::size_t common = 0;
  while (common < shorter && a[common] == b[common]) ++common;
  return common >= 4 && 10 * common >= 7 * longer ? 0.6F : 0;
}

const WordReader::Known& WordReader::look_up(std::string_view word) {
  const auto [place, fresh] = known_.try_emplace(std::string(word));
  if (fresh) {
    Known& known = place->second;
    known.folded = text::fold(word);
    known.content = !search::is_stop_word(known.folded, language_);
    known.stems = search::analyse(word, language_);
  }
  return place->second;
}

std::vector<Word> WordReader::read(std::string_view text) {
  std::vector<Word> words;
  for (Run run = next_run(text, 0); run.begin < run.end && words.size() < kMaxWords;
       run = next_run(text, run.end)) {
    const std::string_view written =
        without_possessive(text.substr(run.begin, run.end - run.begin));
    const Known& known = look_up(written);
    Word word;
    word.folded = known.folded;
    word.number = run.cjk ? std::string() : number_value(known.folded);
    word.begin = static_cast<std::uint32_t>(run.begin);
    word.end = static_cast<std::uint32_t>(run.end);
    word.content = known.content && !is_negation(known.folded);
    word.cjk = run.cjk;
    std::size_t upper = 0, letters = 0, digits = 0;
    for (std::size_t at = 0; at < written.size() && !run.cjk;) {
      const char32_t c = text::decode(written, at);
      const bool big = is_upper(c);
      if (letters + digits == 0) word.capital = big;
      if (c >= U'0' && c <= U'9') {
        ++digits;
      } else {
        ++letters;
        upper += big ? 1 : 0;
      }
    }
    word.acronym = letters >= 2 && upper == letters;
    if (!word.number.empty()) {
      word.stem = word.number;
      word.content = true;
      words.push_back(std::move(word));
    } else if (known.stems.empty()) {
      word.stem = word.folded;
      words.push_back(std::move(word));
    } else {
      for (const std::string& stem : known.stems) {
        word.stem = stem;
        words.push_back(word);
        if (words.size() >= kMaxWords) break;
      }
    }
  }
  return words;
}

std::vector<bool> mark_names(const std::vector<Word>& words, std::string_view text,
                             std::string_view language) {
  std::vector<bool> names(words.size(), false);
  bool opens = true;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const Word& word = words[i];
    if (i > 0 && word.begin >= words[i - 1].end) {
      const auto between = text.substr(words[i - 1].end, word.begin - words[i - 1].end);
      opens = between.find_first_of(".!?:\n\"") != std::string_view::npos;
    }
    const bool next_capital = i + 1 < words.size() && words[i + 1].capital && words[i + 1].content;
    const bool capital_counts =
        word.capital && !capitalises_nouns(language) && (!opens || next_capital);
    names[i] = word.content && word.number.empty() && (capital_counts || word.acronym);
  }
  return names;
}

std::string guess_language(std::string_view text, std::string_view fallback) {
  static const std::unordered_set<std::string_view> kEnglish{
      "the", "of",  "is",    "are", "was", "did", "do",   "does", "what", "who", "when", "where",
      "how", "why", "which", "and", "to",  "a",   "many", "much", "were", "has", "have", "with"};
  static const std::unordered_set<std::string_view> kGerman{
      "der",     "die",   "das", "ist", "sind",  "war", "wer", "was",  "wann",   "wo",
      "wie",     "warum", "und", "von", "den",   "dem", "ein", "eine", "welche", "welcher",
      "welches", "wurde", "im",  "des", "viele", "hat", "zu",  "mit",  "nicht",  "fur"};
  std::size_t english = 0, german = 0, offset = 0, read = 0;
  constexpr std::size_t kWordsRead = 64;
  for (Run run = next_run(text, offset); run.begin < run.end && read < kWordsRead;
       run = next_run(text, run.end), ++read) {
    const std::string folded = text::fold(text.substr(run.begin, run.end - run.begin));
    english += kEnglish.contains(folded) ? 1 : 0;
    german += kGerman.contains(folded) ? 1 : 0;
  }
  if (english > german) return "en";
  if (german > english) return "de";
  return std::string(fallback);
}

}  // namespace knap::answer
