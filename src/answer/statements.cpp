#include "statements.hpp"

#include <algorithm>
#include <array>

#include "knap/base/text.hpp"
#include "sentences.hpp"

namespace knap::answer {
namespace {

constexpr std::uint32_t kMaxMark = 999;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Reads "[1, 2]" or "[note 3]" at `open`; the offset past it, or `open` when it is no mark.
std::size_t read_mark(std::string_view s, std::size_t open, std::vector<std::uint32_t>& numbers) {
  constexpr std::size_t kLongestMark = 24;
  const std::size_t close = s.find(']', open);
  if (close == std::string_view::npos || close - open > kLongestMark || close == open + 1)
    return open;
  std::vector<std::uint32_t> found;
  std::uint32_t value = 0;
  bool digits = false;
  std::size_t letters = 0;
  for (std::size_t i = open + 1; i <= close; ++i) {
    if (is_digit(s[i])) {
      value = std::min(kMaxMark, value * 10 + static_cast<std::uint32_t>(s[i] - '0'));
      digits = true;
      continue;
    }
    if (digits) found.push_back(value);
    value = 0;
    digits = false;
    const bool letter = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z');
    letters += letter ? 1 : 0;
  }
  if (found.empty() || letters > 8) return open;
  numbers.insert(numbers.end(), found.begin(), found.end());
  return close + 1;
}

}  // namespace

Statement read_statement(std::string_view sentence, std::uint32_t citations) {
  Statement statement;
  std::vector<std::uint32_t> numbers;
  std::string kept;
  for (std::size_t at = 0; at < sentence.size();) {
    if (sentence[at] == '[') {
      const std::size_t after = read_mark(sentence, at, numbers);
      if (after != at) {
        at = after;
        while (!kept.empty() && kept.back() == ' ') kept.pop_back();
        continue;
      }
    }
    kept += sentence[at++];
  }
  std::string_view trimmed = text::trim(kept);
  for (const std::string_view bullet : {"- ", "* ", "• "}) {
    if (trimmed.starts_with(bullet)) trimmed.remove_prefix(bullet.size());
  }
  statement.text = plain_text(trimmed);
  std::ranges::sort(numbers);
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  std::erase_if(numbers, [&](std::uint32_t n) { return n == 0 || n > citations; });
  statement.marks = std::move(numbers);
  return statement;
}

std::vector<std::string> StatementGate::add(std::string_view piece) {
  if (pending_.size() < kMaxBytes) pending_ += piece.substr(0, kMaxBytes - pending_.size());
  std::vector<std::string> whole;
  const std::string_view all = pending_;
  // A line break ends a sentence too; the last one stays until what follows shows that no mark
  // belongs to it.
  while (true) {
    const std::string_view rest = all.substr(taken_);
    const std::size_t newline = rest.find('\n');
    const std::string_view line = rest.substr(0, newline);
    const std::vector<std::size_t> ends = sentence_ends(line, language_);
    std::size_t end = ends.front();
    if (newline == std::string_view::npos && (ends.size() < 2 || end >= line.size())) break;
    // "text. [1] Next": the mark after the stop belongs to the sentence before it.
    std::size_t look = end;
    while (look < line.size()) {
      std::size_t open = look;
      while (open < line.size() && line[open] == ' ') ++open;
      std::vector<std::uint32_t> ignored;
      if (open >= line.size() || line[open] != '[') break;
      const std::size_t after = read_mark(line, open, ignored);
      if (after == open) break;
      look = end = after;
    }
    const bool undecided = newline == std::string_view::npos &&
                           line.substr(end).find_first_not_of(' ') == std::string_view::npos;
    const bool open_mark = newline == std::string_view::npos &&
                           text::trim(line.substr(end)).starts_with('[') &&
                           line.find(']', end) == std::string_view::npos;
    if (undecided || open_mark) break;
    taken_ += end;
    if (end >= line.size() && newline != std::string_view::npos) ++taken_;
    if (const auto found = text::trim(line.substr(0, end)); !found.empty())
      whole.emplace_back(found);
  }
  return whole;
}

std::vector<std::string> StatementGate::finish(bool finished) {
  std::vector<std::string> whole = add("\n");
  if (pending_.size() >= kMaxBytes) return whole;
  if (!finished && !whole.empty()) {
    // Cut off by a limit: keep the last only if it came to its full stop.
    const Statement last = read_statement(whole.back(), kMaxMark);
    const bool stopped =
        last.text.ends_with('.') || last.text.ends_with('!') || last.text.ends_with("。");
    if (!stopped) whole.pop_back();
  }
  return whole;
}

bool says_unknown(std::string_view statement) {
  static constexpr std::array<std::string_view, 22> kPhrases{
      "not in the notes",  "notes do not",     "notes don't",      "notes does not",
      "do not contain",    "does not contain", "do not mention",   "does not mention",
      "do not provide",    "does not provide", "not provided",     "not mentioned",
      "i don't know",      "i do not know",    "no information",   "not specified",
      "cannot answer",     "can't answer",     "unable to answer", "nicht in den notizen",
      "keine information", "weiss ich nicht"};
  const std::string folded = text::fold(statement);
  return std::ranges::any_of(
      kPhrases, [&](std::string_view p) { return folded.find(p) != std::string::npos; });
}

}  // namespace knap::answer
