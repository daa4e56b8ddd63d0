#include "knap/answer/reworded.hpp"

#include <unordered_set>
#include <vector>

#include "words.hpp"

namespace knap::answer {
namespace {

/// "How is it?" says nothing without what stood before it.
constexpr std::size_t kContentWordsMin = 2;
constexpr std::size_t kWordsMax = 100;

/// Words without which a question asks the same. Never a stop list as such: those hold "before",
/// "from" and "not".
bool says_nothing(std::string_view folded) {
  static const std::unordered_set<std::string_view> kWords{
      "a",     "an",  "the",  "do",    "does",  "did",    "is",    "are",   "was",
      "were",  "be",  "can",  "could", "would", "please", "tell",  "me",    "you",
      "der",   "die", "das",  "den",   "dem",   "ein",    "eine",  "einen", "einem",
      "einer", "ist", "sind", "war",   "waren", "kann",   "bitte", "mir",   "du"};
  return kWords.contains(folded);
}

/// In questions one is as good as the other.
std::string_view usual_form(std::string_view folded) {
  if (folded == "which") return "what";
  if (folded == "welche" || folded == "welcher" || folded == "welches") return "was";
  return folded;
}

}  // namespace

std::string reworded_print(std::string_view question) {
  WordReader reader(guess_language(question, "en"));
  const std::vector<Word> words = reader.read(question);
  if (words.empty() || words.size() > kWordsMax) return {};
  const std::vector<bool> names = mark_names(words, question, reader.language());
  std::string print = reader.language();
  std::size_t content = 0;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const Word& word = words[i];
    const bool named = names[i] || word.acronym;
    // "The Who" and "IT" are names; "Is it...?" opens with a capital and is none.
    if (word.number.empty() && !named && says_nothing(word.folded)) continue;
    print += '\x1f';
    if (!word.number.empty()) {
      print += '#' + word.number;
    } else if (named) {
      print += '@' + word.folded;
    } else if (word.content || word.cjk) {
      print += word.stem;
    } else {
      print += usual_form(word.folded);
    }
    if (word.content || named || !word.number.empty()) ++content;
  }
  return content < kContentWordsMin ? std::string{} : print;
}

}  // namespace knap::answer
