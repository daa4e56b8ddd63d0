#include "question.hpp"

#include <algorithm>
#include <array>
#include <unordered_set>

#include "knap/base/text.hpp"

namespace knap::answer {
namespace {

using WordSet = std::unordered_set<std::string_view>;

/// Question words that a stop list may lack: never looked for in notes.
const WordSet& asking_words() {
  static const WordSet kWords{
      "what",   "when",    "where",    "who",     "whom",    "whose",   "which",   "why",
      "how",    "many",    "much",     "was",     "wann",    "wo",      "wer",     "wen",
      "wem",    "wessen",  "welche",   "welcher", "welches", "welchen", "welchem", "warum",
      "wieso",  "wie",     "viele",    "viel",    "woher",   "wohin",   "please",  "bitte",
      "tell",   "explain", "describe", "did",     "does",    "do",      "can",     "could",
      "should", "would",   "happened", "called",  "genannt", "nannte",  "use",     "used",
      "also",   "besides", "than",     "worin",   "womit",   "wodurch"};
  return kWords;
}

/// Words that name the kind of answer. They choose, but an answer seldom repeats them.
const WordSet& generic_words() {
  static const WordSet kWords{
      "year",        "years",   "date",        "day",       "month",  "century",    "time",
      "name",        "names",   "number",      "amount",    "kind",   "kinds",      "type",
      "types",       "term",    "word",        "person",    "people", "percentage", "percent",
      "place",       "country", "city",        "state",     "group",  "thing",      "things",
      "example",     "way",     "reason",      "part",      "jahr",   "jahren",     "datum",
      "tag",         "monat",   "jahrhundert", "zeit",      "namen",  "zahl",       "anzahl",
      "art",         "arten",   "typ",         "begriff",   "wort",   "menschen",   "prozent",
      "prozentsatz", "ort",     "land",        "stadt",     "gruppe", "beispiel",   "grund",
      "teil",        "located", "describe",    "refer",     "define", "mean",       "notes",
      "note",        "notiz",   "notizen",     "according", "laut"};
  return kWords;
}

/// Pieces of Chinese and Japanese that carry the asking: bigrams that hold one are weak evidence.
bool holds_cjk_function(std::string_view stem) {
  static constexpr std::array<std::string_view, 26> kPieces{
      "什", "么", "谁", "哪", "何", "的", "是", "了", "在", "吗", "多", "少", "几",
      "个", "为", "有", "和", "与", "于", "被", "の", "は", "を", "に", "が", "か"};
  return std::ranges::any_of(
      kPieces, [&](std::string_view p) { return stem.find(p) != std::string_view::npos; });
}

struct Pattern {
  std::string_view text;
  Expects expects;
};
// Folded, with a space on both sides; the first that occurs decides, so longer forms stand first.
constexpr std::array kPatterns{
    Pattern{" how many ", Expects::kNumber},
    Pattern{" how much ", Expects::kNumber},
    Pattern{" how long ", Expects::kNumber},
    Pattern{" how old ", Expects::kNumber},
    Pattern{" how tall ", Expects::kNumber},
    Pattern{" how high ", Expects::kNumber},
    Pattern{" how far ", Expects::kNumber},
    Pattern{" how large ", Expects::kNumber},
    Pattern{" how big ", Expects::kNumber},
    Pattern{" how often ", Expects::kNumber},
    Pattern{" what percent ", Expects::kNumber},
    Pattern{" what percentage ", Expects::kNumber},
    Pattern{" what number ", Expects::kNumber},
    Pattern{" number of ", Expects::kNumber},
    Pattern{" population of ", Expects::kNumber},
    Pattern{" wie viele ", Expects::kNumber},
    Pattern{" wie viel ", Expects::kNumber},
    Pattern{" wieviele ", Expects::kNumber},
    Pattern{" wieviel ", Expects::kNumber},
    Pattern{" wie lange ", Expects::kNumber},
    Pattern{" wie alt ", Expects::kNumber},
    Pattern{" wie hoch ", Expects::kNumber},
    Pattern{" wie gross ", Expects::kNumber},
    Pattern{" prozent ", Expects::kNumber},
    Pattern{" prozentsatz ", Expects::kNumber},
    Pattern{" what year ", Expects::kTime},
    Pattern{" which year ", Expects::kTime},
    Pattern{" what date ", Expects::kTime},
    Pattern{" what day ", Expects::kTime},
    Pattern{" what month ", Expects::kTime},
    Pattern{" what century ", Expects::kTime},
    Pattern{" what time ", Expects::kTime},
    Pattern{" welchem jahr ", Expects::kTime},
    Pattern{" welches jahr ", Expects::kTime},
    Pattern{" welchem jahrhundert ", Expects::kTime},
    Pattern{" welchem datum ", Expects::kTime},
    Pattern{" what city ", Expects::kPlace},
    Pattern{" which city ", Expects::kPlace},
    Pattern{" what country ", Expects::kPlace},
    Pattern{" which country ", Expects::kPlace},
    Pattern{" what state ", Expects::kPlace},
    Pattern{" welcher stadt ", Expects::kPlace},
    Pattern{" welchem land ", Expects::kPlace},
    Pattern{" when ", Expects::kTime},
    Pattern{" wann ", Expects::kTime},
    Pattern{" who ", Expects::kPerson},
    Pattern{" whom ", Expects::kPerson},
    Pattern{" whose ", Expects::kPerson},
    Pattern{" wer ", Expects::kPerson},
    Pattern{" wen ", Expects::kPerson},
    Pattern{" wem ", Expects::kPerson},
    Pattern{" wessen ", Expects::kPerson},
    Pattern{" where ", Expects::kPlace},
    Pattern{" wo ", Expects::kPlace},
    Pattern{" woher ", Expects::kPlace},
    Pattern{" wohin ", Expects::kPlace},
};
constexpr std::array kWidePatterns{
    Pattern{"什么时候", Expects::kTime}, Pattern{"何时", Expects::kTime},
    Pattern{"哪一年", Expects::kTime},   Pattern{"哪年", Expects::kTime},
    Pattern{"多少", Expects::kNumber},   Pattern{"几个", Expects::kNumber},
    Pattern{"谁", Expects::kPerson},     Pattern{"哪里", Expects::kPlace},
    Pattern{"在哪", Expects::kPlace},
};

bool is_year(std::string_view number) {
  return number.size() == 4 && number >= "1000" && number < "2200" &&
         std::ranges::all_of(number, [](char c) { return c >= '0' && c <= '9'; });
}

bool names_time(std::string_view folded) {
  static const WordSet kTimes{
      "january",      "february",  "march",      "april",    "may",      "june",     "july",
      "august",       "september", "october",    "november", "december", "monday",   "tuesday",
      "wednesday",    "thursday",  "friday",     "saturday", "sunday",   "century",  "decade",
      "today",        "spring",    "summer",     "autumn",   "winter",   "januar",   "februar",
      "marz",         "mai",       "juni",       "juli",     "oktober",  "dezember", "montag",
      "dienstag",     "mittwoch",  "donnerstag", "freitag",  "samstag",  "sonntag",  "jahrhundert",
      "jahrhunderts", "fruhling",  "sommer",     "herbst",   "years",    "jahre"};
  return kTimes.contains(folded);
}

/// Content-bearing words in order, one entry a stem.
void add_terms(std::string_view text, bool borrowed, WordReader& reader, const Rarity& rarity,
               std::vector<QuestionTerm>& terms) {
  // What no note holds gets the largest rarity: asked once with a word that cannot occur.
  const float rarest = std::max(0.1F, rarity(kInNoNote));
  const std::vector<Word> words = reader.read(text);
  const std::vector<bool> names = mark_names(words, text, reader.language());
  for (std::size_t i = 0; i < words.size() && terms.size() < kMaxQuestionTerms; ++i) {
    const Word& word = words[i];
    if (!word.content || asking_words().contains(word.folded) || word.folded.size() < 2) {
      if (word.number.empty()) continue;
    }
    const auto same = std::ranges::find(terms, word.stem, &QuestionTerm::stem);
    if (same != terms.end()) continue;
    QuestionTerm term{
        .stem = word.stem, .name = names[i], .number = !word.number.empty(), .borrowed = borrowed};
    const float found = rarity(term.stem);
    term.known = found < rarest - 1e-4F;
    term.weight = std::clamp(found, 0.3F, rarest) / rarest;
    term.generic = generic_words().contains(word.folded);
    if (term.generic) term.weight *= 0.25F;
    if (word.cjk && (holds_cjk_function(word.stem) || !term.known)) term.weight *= 0.2F;
    if (borrowed) term.weight *= 0.5F;
    terms.push_back(std::move(term));
  }
}

}  // namespace

Expects what_is_asked(std::string_view question) {
  std::string folded = " ";
  for (const char c : text::fold(question)) {
    const bool keep = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c & 0x80) != 0;
    if (keep) {
      folded += c;
    } else if (folded.back() != ' ') {
      folded += ' ';
    }
  }
  folded += ' ';
  for (const Pattern& pattern : kPatterns) {
    if (folded.find(pattern.text) != std::string::npos) return pattern.expects;
  }
  for (const Pattern& pattern : kWidePatterns) {
    if (question.find(pattern.text) != std::string_view::npos) return pattern.expects;
  }
  return Expects::kAnything;
}

Question read_question(std::string_view text, std::string_view borrowed, WordReader& reader,
                       const Rarity& rarity) {
  Question question;
  question.expects = what_is_asked(text);
  add_terms(text, false, reader, rarity, question.terms);
  if (!borrowed.empty()) add_terms(borrowed, true, reader, rarity, question.terms);
  for (const QuestionTerm& term : question.terms) question.weight += term.weight;
  return question;
}

std::string borrow_from_history(std::string_view question,
                                const std::vector<models::ChatMessage>& history) {
  static const WordSet kPronouns{
      "it",   "its",    "they",  "them",   "their", "he",   "him", "his", "she", "her",
      "this", "that",   "these", "those",  "er",    "sie",  "es",  "ihn", "ihm", "ihr",
      "dies", "dieser", "diese", "dieses", "davon", "dazu", "他",  "她",  "它"};
  static const WordSet kJoiners{"and", "but",  "or",   "so",   "then",
                                "und", "aber", "oder", "also", "dann"};
  constexpr std::size_t kMaxTurns = 20, kMaxBorrowed = 512;
  WordReader reader(guess_language(question, "en"));
  std::size_t content = 0;
  bool leans = false;
  const std::vector<Word> words = reader.read(question);
  for (const Word& word : words) {
    const bool opens = word.begin == words.front().begin;
    leans = leans || kPronouns.contains(word.folded) || (opens && kJoiners.contains(word.folded));
    const bool counts =
        word.content && !asking_words().contains(word.folded) && !kPronouns.contains(word.folded);
    content += counts ? 1 : 0;
  }
  if (content >= 4 || (content >= 1 && !leans)) return {};
  std::size_t looked = 0;
  for (auto turn = history.rbegin(); turn != history.rend() && looked < kMaxTurns;
       ++turn, ++looked) {
    if (turn->role == "user" && !turn->content.empty()) {
      return std::string(text::truncate(turn->content, kMaxBorrowed));
    }
  }
  return {};
}

float holds_expected(Expects expects, const std::vector<Word>& words,
                     const std::vector<bool>& names, const Question& question) {
  const auto asked = [&](const Word& word) {
    return std::ranges::any_of(question.terms,
                               [&](const QuestionTerm& term) { return term.stem == word.stem; });
  };
  float best = 0;
  for (std::size_t i = 0; i < words.size() && best < 1; ++i) {
    const Word& word = words[i];
    switch (expects) {
      case Expects::kAnything: return 0;
      case Expects::kTime:
        if (asked(word)) break;
        if (is_year(word.number) || names_time(word.folded)) best = 1;
        if (!word.number.empty()) best = std::max(best, 0.5F);
        break;
      case Expects::kNumber:
        if (!word.number.empty() && !asked(word))
          best = is_year(word.number) ? std::max(best, 0.5F) : 1;
        break;
      case Expects::kPerson:
      case Expects::kPlace:
        if (names[i] && !asked(word)) best = 1;
        // German capitals say only "noun": two side by side are mostly a name.
        if (word.capital && word.content && !asked(word) && i + 1 < words.size() &&
            words[i + 1].capital && words[i + 1].begin == word.end + 1 && !asked(words[i + 1])) {
          best = 1;
        }
        break;
    }
  }
  return best;
}

}  // namespace knap::answer
