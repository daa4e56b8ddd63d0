#include "quotes.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <unordered_set>

#include "knap/base/text.hpp"

namespace knap::answer {
namespace {

/// A further sentence must score at least this share of the best.
constexpr float kNear = 0.72F;
constexpr std::size_t kMaxContextBytes = 240;
/// A sentence adds nothing when a chosen one holds this share of its words.
constexpr float kSameWords = 0.9F;

/// Byte offsets where a long sentence may be cut: after a clause or, failing that, a word.
std::vector<std::size_t> cut_points(std::string_view s) {
  std::vector<std::size_t> points{0};
  for (std::size_t i = 0; i < s.size();) {
    const std::size_t here = i;
    const char32_t c = text::decode(s, i);
    const bool wide = c == U'，' || c == U'；' || c == U'、';
    if (wide) points.push_back(i);
    if ((c == U' ' || c == U'\n') && here > 0) points.push_back(i);
  }
  points.push_back(s.size());
  return points;
}

/// Whether a cut at this offset falls after a comma, semicolon, colon or dash.
bool after_clause(std::string_view s, std::size_t at) {
  if (at == 0 || at >= s.size()) return true;
  const std::string_view before = text::trim(s.substr(0, at));
  return before.ends_with(',') || before.ends_with(';') || before.ends_with(':') ||
         before.ends_with("–") || before.ends_with("，") || before.ends_with("；");
}

/// The part of at most kMaxQuoteBytes of a long sentence that holds most of the question.
std::pair<std::size_t, std::size_t> best_window(std::string_view s, const Question& question,
                                                WordReader& reader) {
  struct Mark {
    std::size_t at;
    float weight;
  };
  std::vector<Mark> marks;
  for (const Word& word : reader.read(s)) {
    const auto term = std::ranges::find(question.terms, word.stem, &QuestionTerm::stem);
    if (term != question.terms.end()) marks.push_back({word.begin, term->weight});
  }
  const std::vector<std::size_t> points = cut_points(s);
  std::size_t best_begin = 0, best_end = text::truncate(s, kMaxQuoteBytes).size();
  float best = -1;
  std::size_t last = 0;
  for (const std::size_t begin : points) {
    while (last + 1 < points.size() && points[last + 1] - begin <= kMaxQuoteBytes) ++last;
    const std::size_t end = points[last];
    if (end <= begin) continue;
    float held = after_clause(s, begin) ? 0.05F : 0;
    for (const Mark& mark : marks) held += mark.at >= begin && mark.at < end ? mark.weight : 0;
    if (held > best) {
      best = held;
      best_begin = begin;
      best_end = end;
    }
    if (end == s.size()) break;
  }
  while (best_end > best_begin && (s[best_end - 1] == ' ' || s[best_end - 1] == '\n')) --best_end;
  return {best_begin, best_end};
}

Quote make_quote(const Evidence& evidence, const Candidate& candidate) {
  const PassageEvidence& passage = evidence.passages[candidate.passage];
  const index::PassageView& view = passage.hit->passage;
  const Sentence& sentence = passage.sentences[candidate.sentence];
  Quote quote;
  quote.kind = sentence.kind;
  quote.score = candidate.score;
  quote.shown = sentence.plain;
  const auto neighbour = [&](std::size_t at) {
    return std::string(text::truncate(passage.sentences[at].plain, kMaxContextBytes));
  };
  if (candidate.sentence > 0) quote.before = neighbour(candidate.sentence - 1);
  if (candidate.sentence + 1 < passage.sentences.size())
    quote.after = neighbour(candidate.sentence + 1);

  std::string_view verbatim =
      std::string_view(view.text).substr(sentence.begin, sentence.end - sentence.begin);
  vault::LineRange lines = sentence.lines;
  if (verbatim.size() > kMaxQuoteBytes) {
    WordReader reader(view.language);
    const auto [begin, end] = best_window(verbatim, *passage.question, reader);
    const auto newlines = [&](std::size_t from, std::size_t to) {
      return static_cast<std::uint32_t>(
          std::count(verbatim.begin() + static_cast<std::ptrdiff_t>(from),
                     verbatim.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    };
    lines.first += newlines(0, begin);
    lines.last = lines.first + newlines(begin, end);
    const bool cut_front = begin > 0, cut_back = end < verbatim.size();
    verbatim = verbatim.substr(begin, end - begin);
    quote.shown =
        sentence.kind == Sentence::Kind::kCode ? std::string(verbatim) : plain_text(verbatim);
    if (cut_front) quote.shown.insert(0, "… ");
    if (cut_back) quote.shown += " …";
  }
  quote.citation = {.vault = view.vault,
                    .path = view.path,
                    .title = view.title,
                    .note_name = view.note_name,
                    .headings = view.headings,
                    .lines = lines,
                    .place = view.place,
                    .quote = std::string(verbatim)};
  return quote;
}

/// A word of Chinese or Japanese is about two characters.
std::size_t count_words(std::string_view s) {
  std::size_t words = 0, wide = 0;
  bool inside = false;
  for (std::size_t at = 0; at < s.size();) {
    const char32_t c = text::decode(s, at);
    if (text::is_cjk(c)) {
      ++wide;
      inside = false;
      continue;
    }
    const bool part = text::is_alphanumeric(c);
    words += part && !inside ? 1 : 0;
    inside = part;
  }
  return words + wide / 2;
}

/// A sentence that opens so says little without the one before it.
bool leans_on_previous(std::string_view plain) {
  static constexpr std::array<std::string_view, 22> kOpeners{
      "this ", "these ", "those ",  "it ",     "he ",          "she ",       "they ", "such ",
      "his ",  "her ",   "its ",    "their ",  "both ",        "er ",        "sie ",  "es ",
      "dies ", "diese ", "dieser ", "dieses ", "all of this ", "the latter "};
  const std::string start = text::fold(text::truncate(plain, 24));
  return std::ranges::any_of(kOpeners,
                             [&](std::string_view opener) { return start.starts_with(opener); });
}

/// What a sentence says: stems without stop words, but with what denies. The "No." that opens an
/// answer denies nothing in the sentence itself.
std::unordered_set<std::string> said_by(const Evidence& evidence, const Candidate& candidate,
                                        WordReader& reader) {
  std::unordered_set<std::string> stems;
  const std::string& plain =
      evidence.passages[candidate.passage].sentences[candidate.sentence].plain;
  for (const Word& word : reader.read(plain)) {
    const bool stands_alone =
        word.end < plain.size() && (plain[word.end] == '.' || plain[word.end] == ',');
    const bool opens = word.begin == 0 && stands_alone;
    const bool denies = is_negation(word.folded) && !opens;
    if (word.content || !word.number.empty() || denies) stems.insert(word.stem);
  }
  return stems;
}

/// Whether one sentence says hardly more than the other: copies, templates, a summary's repetition.
bool says_again(const std::unordered_set<std::string>& later,
                const std::unordered_set<std::string>& earlier) {
  const auto known = static_cast<float>(
      std::ranges::count_if(later, [&](const auto& stem) { return earlier.contains(stem); }));
  return known >= kSameWords * static_cast<float>(std::max<std::size_t>(1, later.size()));
}

const Candidate* candidate_at(const Evidence& evidence, std::size_t passage, std::size_t sentence) {
  const auto found = std::ranges::find_if(evidence.candidates, [&](const Candidate& candidate) {
    return candidate.passage == passage && candidate.sentence == sentence;
  });
  return found == evidence.candidates.end() ? nullptr : &*found;
}

}  // namespace

std::vector<Quote> choose_quotes(const Evidence& evidence, std::size_t limit) {
  std::vector<const Candidate*> chosen;
  std::vector<std::unordered_set<std::string>> said;
  std::map<std::string, WordReader> readers;  // by language
  std::size_t words = 0;
  const auto choose = [&](const Candidate& candidate) {
    if (chosen.size() >= limit || std::ranges::find(chosen, &candidate) != chosen.end()) return;
    const std::string& plain =
        evidence.passages[candidate.passage].sentences[candidate.sentence].plain;
    const std::size_t here = count_words(text::truncate(plain, kMaxQuoteBytes));
    if (!chosen.empty() && words + here > kMaxQuotedWords) return;
    const std::string& language = evidence.passages[candidate.passage].hit->passage.language;
    WordReader& reader = readers.try_emplace(language, language).first->second;
    auto stems = said_by(evidence, candidate, reader);
    const bool again =
        std::ranges::any_of(said, [&](const auto& earlier) { return says_again(stems, earlier); });
    if (again) return;
    words += here;
    chosen.push_back(&candidate);
    said.push_back(std::move(stems));
  };
  for (const Candidate& candidate : evidence.candidates) {
    if (!chosen.empty() && candidate.score < kNear * chosen.front()->score) break;
    choose(candidate);
    const Sentence& best = evidence.passages[candidate.passage].sentences[candidate.sentence];
    const bool leans = chosen.size() == 1 && best.kind == Sentence::Kind::kProse &&
                       candidate.sentence > 0 && leans_on_previous(best.plain);
    if (!leans) continue;
    const Candidate* before = candidate_at(evidence, candidate.passage, candidate.sentence - 1);
    if (before != nullptr) choose(*before);
  }
  // What stands side by side in a note reads in its order; all else best first.
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    for (std::size_t j = i + 1; j < chosen.size(); ++j) {
      const bool before = chosen[j]->passage == chosen[i]->passage &&
                          chosen[j]->sentence + 1 == chosen[i]->sentence;
      if (before)
        std::rotate(chosen.begin() + static_cast<std::ptrdiff_t>(i),
                    chosen.begin() + static_cast<std::ptrdiff_t>(j),
                    chosen.begin() + static_cast<std::ptrdiff_t>(j) + 1);
    }
  }
  std::vector<Quote> quotes;
  for (const Candidate* candidate : chosen) {
    quotes.push_back(make_quote(evidence, *candidate));
    quotes.back().citation.id = static_cast<std::uint32_t>(quotes.size());
  }
  return quotes;
}

std::vector<Citation> citations_of(const std::vector<Quote>& quotes) {
  std::vector<Citation> citations;
  for (const Quote& quote : quotes) citations.push_back(quote.citation);
  return citations;
}

}  // namespace knap::answer
