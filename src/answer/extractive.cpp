#include "extractive.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "knap/base/text.hpp"

namespace knap::answer {
namespace {

constexpr std::size_t kNamedNotes = 3, kMaxNameBytes = 80;

std::string block_of(const Quote& quote) {
  if (quote.kind == Sentence::Kind::kCode) {
    // A fence longer than any run of backticks inside cannot be closed by the code itself.
    std::size_t longest = 2, run = 0;
    for (const char c : quote.shown) {
      run = c == '`' ? run + 1 : 0;
      longest = std::max(longest, run);
    }
    const std::string fence(longest + 1, '`');
    return fmt::format("{0}\n{1}\n{0}\n[{2}]", fence, quote.shown, quote.citation.id);
  }
  return fmt::format("{} [{}]", quote.shown, quote.citation.id);
}

}  // namespace

void write_extractive(const std::vector<Quote>& quotes, Answer& answer) {
  answer.text.clear();
  answer.claims.clear();
  answer.mode = "extractive";
  answer.model.clear();
  for (std::size_t i = 0; i < quotes.size(); ++i) {
    const Quote& quote = quotes[i];
    if (i > 0) {
      const bool inline_text =
          quote.kind == Sentence::Kind::kProse && quotes[i - 1].kind == Sentence::Kind::kProse;
      answer.text += inline_text ? " " : "\n\n";
    }
    answer.text += block_of(quote);
    // The claim is the quote itself: nothing in between that could be wrong.
    answer.claims.push_back({.text = quote.shown,
                             .citations = {quote.citation.id},
                             .verdict = Verdict::kSupported,
                             .score = 1});
  }
}

void write_refusal(const std::vector<index::SearchHit>& nearest, std::string_view question_language,
                   Answer& answer) {
  std::vector<std::string> names;
  for (const index::SearchHit& hit : nearest) {
    const index::PassageView& view = hit.passage;
    std::string name(
        text::truncate(view.title.empty() ? view.note_name : view.title, kMaxNameBytes));
    if (!name.empty() && std::ranges::find(names, name) == names.end())
      names.push_back(std::move(name));
    if (names.size() == kNamedNotes) break;
  }
  const bool german = question_language == "de";
  answer.refused = true;
  answer.mode = "refused";
  answer.model.clear();
  answer.claims.clear();
  answer.citations.clear();
  answer.text =
      german ? "Die Notizen enthalten keine Antwort darauf." : "Nothing in the notes answers this.";
  if (!names.empty()) {
    answer.text += fmt::format(
        "{} “{}”.",
        german ? " Am nächsten kamen:" : " Looked at, nearest first:", fmt::join(names, "”, “"));
  }
}

}  // namespace knap::answer
