#include "directions.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <unordered_set>

namespace knap::answer {
namespace {

// Beginnings of folded words, English and German. Short ones are whole words.
constexpr std::array<std::string_view, 36> kUp{
    "raises",  "raised",  "increas", "rise",      "rises",    "rising",   "rose",    "risen",
    "higher",  "highest", "greater", "more",      "larger",   "largest",  "enhanc",  "promot",
    "improv",  "elevat",  "upregul", "accelerat", "strength", "stimulat", "activat", "better",
    "longer",  "faster",  "positiv", "steig",     "stieg",    "erhoh",    "hoher",   "mehr",
    "grosser", "besser",  "forder",  "verbesser"};
constexpr std::array<std::string_view, 43> kDown{
    "lowers",    "lowered",  "decreas", "falls",      "fell",      "fallen",    "declin",
    "lower",     "lowest",   "less",    "fewer",      "smaller",   "smallest",  "reduc",
    "diminish",  "suppress", "inhibit", "impair",     "attenuat",  "downregul", "weaken",
    "worse",     "worsen",   "prevent", "block",      "deactivat", "inactivat", "negativ",
    "shorter",   "slower",   "sinkt",   "sank",       "sinken",    "gesunken",  "verring",
    "niedriger", "weniger",  "kleiner", "schlechter", "hemm",      "verhinder", "verminder",
    "senk"};
/// Shorter ones are whole words: "more" is no beginning of "moreover".
constexpr std::size_t kBeginning = 6;
constexpr std::array<std::string_view, 8> kDenials{"in", "un",  "im", "ir",
                                                   "il", "dis", "de", "non"};
/// What follows a prefix is a word by itself, not the rest of one ("de-sign").
constexpr std::size_t kDeniedMin = 5;

const std::unordered_set<std::string_view>& asking_verbs() {
  static const std::unordered_set<std::string_view> kVerbs{
      "examine",     "examined",     "assess",      "assessed",     "determine", "determined",
      "evaluate",    "evaluated",    "investigate", "investigated", "explore",   "explored",
      "test",        "tested",       "study",       "studied",      "compare",   "compared",
      "ask",         "asked",        "check",       "checked",      "find",      "clarify",
      "untersuchen", "untersuchten", "prufen",      "pruften",      "klaren"};
  return kVerbs;
}

bool is_one_of(const Word& word, std::span<const std::string_view> beginnings) {
  return std::ranges::any_of(beginnings, [&](std::string_view beginning) {
    return beginning.size() < kBeginning ? word.folded == beginning
                                         : word.folded.starts_with(beginning);
  });
}

bool holds(const std::vector<Word>& words, std::string_view stem) {
  return std::ranges::any_of(words, [&](const Word& word) { return word.stem == stem; });
}

bool denies(std::string_view longer, std::string_view shorter) {
  return shorter.size() >= kDeniedMin && longer.size() > shorter.size() &&
         longer.ends_with(shorter) &&
         std::ranges::find(kDenials, longer.substr(0, longer.size() - shorter.size())) !=
             kDenials.end();
}

bool denied_by_prefix(const Word& word, const std::vector<Word>& quote) {
  if (!word.content || holds(quote, word.stem)) return false;
  return std::ranges::any_of(quote, [&](const Word& other) {
    return other.content && (denies(word.stem, other.stem) || denies(other.stem, word.stem));
  });
}

}  // namespace

Direction compare_directions(const std::vector<Word>& statement, const std::vector<Word>& quote) {
  Direction worst = Direction::kAgrees;
  const auto holds_side = [&](std::span<const std::string_view> side) {
    return std::ranges::any_of(quote, [&](const Word& word) { return is_one_of(word, side); });
  };
  for (const Word& word : statement) {
    if (denied_by_prefix(word, quote)) return Direction::kOpposite;
    const bool up = is_one_of(word, kUp);
    if (!up && !is_one_of(word, kDown)) continue;
    if (holds(quote, word.stem) || (up ? holds_side(kUp) : holds_side(kDown))) continue;
    if (up ? holds_side(kDown) : holds_side(kUp)) return Direction::kOpposite;
    worst = Direction::kUntold;
  }
  return worst;
}

bool only_asks(const std::vector<Word>& sentence) {
  for (std::size_t i = 0; i < sentence.size(); ++i) {
    const std::string& word = sentence[i].folded;
    if (word == "whether" || word == "ob") return true;
    if (i == 0 || !asking_verbs().contains(word)) continue;
    const std::string& before = sentence[i - 1].folded;
    if (before == "to" || before == "we" || before == "zu" || before == "wir") return true;
  }
  return false;
}

}  // namespace knap::answer
