#include "generative.hpp"

#include <algorithm>
#include <unordered_set>

#include <fmt/format.h>

#include "keep_local.hpp"
#include "knap/base/text.hpp"
#include "prompt.hpp"
#include "question.hpp"
#include "statements.hpp"

namespace knap::answer {
namespace {

/// A question that asks for no name, number or date is not answered by fewer words than this.
constexpr std::ptrdiff_t kLeastWords = 4;

/// Small models copy the headings that stand in brackets above each note of the prompt.
std::string without_bracketed_head(const std::string& text) {
  if (!text.starts_with('(')) return text;
  const std::size_t end = text.find(')');
  return end == std::string::npos ? text
                                  : std::string(text::trim(std::string_view(text).substr(end + 1)));
}

/// Judges the statements of one answer as they come.
class Editor {
 public:
  Editor(std::string_view question, const std::vector<Quote>& quotes, const WordingOptions& options,
         const std::function<bool(std::string_view)>& on_text)
      : quotes_(quotes),
        options_(options),
        on_text_(on_text),
        citations_(citations_of(quotes)),
        expects_(what_is_asked(question)) {
    WordReader reader(options.language);
    for (const Word& word : reader.read(question)) asked_.insert(word.stem);
  }

  /// False when the model need not go on.
  bool take(const std::string& sentence) {
    Statement statement = read_statement(sentence, static_cast<std::uint32_t>(citations_.size()));
    statement.text = without_bracketed_head(statement.text);
    if (statement.text.empty()) return true;
    if (says_unknown(statement.text)) {
      wording_.unknown = true;
      return false;
    }
    if (!told_.insert(text::fold(statement.text)).second) return false;  // a loop
    const Claim claim = check(statement);
    const bool strict = options_.accept == WordingOptions::Accept::kSupportedOnly;
    const bool holds =
        claim.verdict == Verdict::kSupported || (!strict && claim.verdict == Verdict::kWeak);
    if (!holds || (wording_.claims.empty() && !answers(statement, claim))) {
      ++wording_.rejected;
      return !strict && wording_.rejected < kMaxStatements;
    }
    return tell(claim);
  }

  bool stopped_by_listener() const { return stopped_; }
  Wording& wording() { return wording_; }

 private:
  /// A wrong number is repaired, a missing one added: the statement is held against each quote.
  Claim check(const Statement& statement) const {
    const std::string& language = options_.language;
    Claim unmarked = check_claim(statement.text, citations_, language);
    if (statement.marks.empty()) return unmarked;
    std::vector<Citation> cited;
    for (const Citation& citation : citations_) {
      if (std::ranges::find(statement.marks, citation.id) != statement.marks.end())
        cited.push_back(citation);
    }
    std::string marked_text = statement.text;
    for (const std::uint32_t mark : statement.marks) marked_text += fmt::format(" [{}]", mark);
    Claim marked = check_claim(marked_text, cited, language);
    return unmarked.verdict < marked.verdict ? unmarked : marked;
  }

  /// The first statement must bring something that the question does not say itself, of the kind
  /// asked for when the cited quote holds that kind.
  bool answers(const Statement& statement, const Claim& claim) const {
    if (statement.text.ends_with('?') || statement.text.ends_with("？")) return false;
    WordReader reader(options_.language);
    const std::vector<Word> words = reader.read(statement.text);
    const bool brings = std::ranges::any_of(
        words, [&](const Word& word) { return word.content && !asked_.contains(word.stem); });
    if (!brings) return false;
    // Counted by spaces: a hyphenated name is one word to its reader.
    const std::ptrdiff_t spoken = std::ranges::count(statement.text, ' ') + 1;
    if (expects_ == Expects::kAnything && std::ranges::none_of(words, &Word::cjk) &&
        spoken < kLeastWords)
      return false;
    const auto kind_in = [&](std::string_view source) {
      const std::vector<Word> read = reader.read(source);
      return holds_expected(expects_, read, mark_names(read, source, options_.language),
                            asked_terms());
    };
    for (const std::uint32_t id : claim.citations) {
      if (kind_in(quotes_[id - 1].shown) > kind_in(statement.text)) return false;
    }
    return true;
  }

  Question asked_terms() const {
    Question question;
    for (const std::string& stem : asked_) question.terms.push_back({.stem = stem});
    return question;
  }

  bool tell(const Claim& claim) {
    std::string text = wording_.text.empty() ? "" : " ";
    text += claim.text;
    for (const std::uint32_t id : claim.citations) text += fmt::format(" [{}]", id);
    wording_.text += text;
    wording_.claims.push_back(claim);
    if (on_text_ && !on_text_(text)) {
      stopped_ = true;
      return false;
    }
    return wording_.claims.size() < kMaxStatements;
  }

  const std::vector<Quote>& quotes_;
  const WordingOptions& options_;
  const std::function<bool(std::string_view)>& on_text_;
  std::vector<Citation> citations_;
  Expects expects_;
  std::unordered_set<std::string> asked_, told_;
  Wording wording_;
  bool stopped_ = false;
};

}  // namespace

Wording word_answer(std::string_view question, const std::vector<Quote>& quotes,
                    models::Generator& model, const WordingOptions& options, Deadline deadline,
                    const CancelToken& cancel,
                    const std::function<bool(std::string_view)>& on_text) {
  models::GenerateRequest request;
  // The same in all requests of this process, so that what stands before the notes is read once.
  static const std::string nonce = make_nonce();
  request.messages =
      build_prompt(question, options.earlier_question, quotes, nonce, options.context_tokens);
  request.max_tokens = options.max_tokens;
  request.threads = options.threads;
  request.priority = options.priority;
  request.tenant = options.tenant;
  request.reach = options.reach;
  request.request_id = options.request_id;
  request.notes = parts_of(quotes);
  request.hold = options.hold;
  request.stop = {"\nQuestion:", "NOTES-"};

  Editor editor(question, quotes, options, on_text);
  StatementGate gate(options.language);
  bool going_on = true;
  const auto take_all = [&](const std::vector<std::string>& sentences) {
    for (const std::string& sentence : sentences) {
      if (!going_on) return;
      going_on = editor.take(sentence);
    }
  };
  auto generated = model.generate(request, deadline, cancel, [&](std::string_view piece) {
    take_all(gate.add(piece));
    return going_on;
  });
  Wording& wording = editor.wording();
  if (generated) {
    take_all(gate.finish(generated->finish_reason == "stop"));
    wording.generated = std::move(*generated);
  } else {
    wording.failure = generated.error().message;
  }
  if (editor.stopped_by_listener()) wording.failure = "the listener has gone";
  return std::move(wording);
}

}  // namespace knap::answer
