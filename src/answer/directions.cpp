#include "directions.hpp"

#include <algorithm>
#include <array>
#include <optional>
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
/// "increased the risk": what is raised or lowered follows this closely.
constexpr std::size_t kThingReach = 3;

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

/// "UCP1-dependent" against "UCP1-independent": the same word before both, and one denies the
/// other, whatever else the quote holds.
bool denied_behind_same_word(const std::vector<Word>& statement, const std::vector<Word>& quote) {
  for (std::size_t i = 1; i < statement.size(); ++i) {
    if (!statement[i].content || !statement[i - 1].content) continue;
    for (std::size_t j = 1; j < quote.size(); ++j) {
      if (quote[j - 1].stem != statement[i - 1].stem) continue;
      if (denies(quote[j].stem, statement[i].stem) || denies(statement[i].stem, quote[j].stem))
        return true;
    }
  }
  return false;
}

enum class Side { kNone, kRaised, kLowered };
Side side_of(const Word& word) {
  if (is_one_of(word, kUp)) return Side::kRaised;
  return is_one_of(word, kDown) ? Side::kLowered : Side::kNone;
}

/// Whether what the statement raises or lowers with its word `at` is raised or lowered in the
/// quote: "increases the risk" against "a lower risk". Nothing where the quote does not say so of
/// the same thing.
std::optional<Direction> of_same_thing(const std::vector<Word>& statement, std::size_t at,
                                       const std::vector<Word>& quote) {
  std::size_t thing = at + 1;
  const std::size_t last = std::min(statement.size(), at + 1 + kThingReach);
  while (thing < last && !statement[thing].content) ++thing;
  if (thing >= last || side_of(statement[thing]) != Side::kNone) return std::nullopt;
  const Side wanted = side_of(statement[at]);
  std::size_t same = 0, opposite = 0;
  for (std::size_t j = 0; j < quote.size(); ++j) {
    if (quote[j].stem != statement[thing].stem) continue;
    for (std::size_t k = j; k > 0 && j - k < kThingReach; --k) {
      const Side side = side_of(quote[k - 1]);
      if (side == Side::kNone) continue;
      ++(side == wanted ? same : opposite);
      break;
    }
  }
  if (same + opposite == 0) return std::nullopt;
  if (opposite == 0) return Direction::kAgrees;
  return same == 0 ? Direction::kOpposite : Direction::kUntold;
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
  if (denied_behind_same_word(statement, quote)) return Direction::kOpposite;
  for (std::size_t i = 0; i < statement.size(); ++i) {
    const Word& word = statement[i];
    if (denied_by_prefix(word, quote)) return Direction::kOpposite;
    const bool up = is_one_of(word, kUp);
    if (!up && !is_one_of(word, kDown)) continue;
    if (const auto said = of_same_thing(statement, i, quote)) {
      if (*said == Direction::kOpposite) return Direction::kOpposite;
      if (*said == Direction::kUntold) worst = Direction::kUntold;
      continue;
    }
    if (holds(quote, word.stem) || (up ? holds_side(kUp) : holds_side(kDown))) continue;
    if (up ? holds_side(kDown) : holds_side(kUp)) return Direction::kOpposite;
    worst = Direction::kUntold;
  }
  return worst;
}

bool tells_direction(const Word& word) { return side_of(word) != Side::kNone; }

bool looks_denied(const Word& word) {
  return word.content && std::ranges::any_of(kDenials, [&](std::string_view prefix) {
           return word.folded.size() >= prefix.size() + kDeniedMin &&
                  word.folded.starts_with(prefix);
         });
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
