#include <algorithm>

#include "analyser.hpp"
#include "knap/base/text.hpp"
#include "knap/search/index.hpp"
#include "term_beginnings.hpp"

namespace knap::search {
namespace {

constexpr std::string_view kEllipsis = "…";
/// Longer passages are not looked at beyond this: a snippet is a glance.
constexpr std::size_t kSnippetSourceMax = 256U << 10;

struct Mark {
  std::size_t begin, end;
  std::size_t term;
};

std::vector<Mark> find_marks(std::string_view plain, std::span<const std::string> terms,
                             Language language) {
  std::vector<Mark> marks;
  std::string term;
  const TermBeginnings beginnings(terms, language);
  for_each_token(plain, [&](const Token& token) {
    if (!beginnings.may_be_term(token.source)) return;
    make_term(token, language, term);
    const auto found = std::find(terms.begin(), terms.end(), term);
    if (found == terms.end()) return;
    const auto begin = static_cast<std::size_t>(token.source.data() - plain.data());
    const std::size_t end = begin + token.source.size();
    const auto which = static_cast<std::size_t>(found - terms.begin());
    // A whole identifier and its parts, or overlapping pairs, are one mark.
    if (!marks.empty() && begin < marks.back().end) {
      marks.back().end = std::max(marks.back().end, end);
      return;
    }
    marks.push_back({begin, end, which});
  });
  return marks;
}

/// Where the window begins: that which holds most different terms, then most marks, then the
/// earliest.
std::size_t choose_begin(const std::vector<Mark>& marks, std::size_t term_count,
                         std::size_t width) {
  std::size_t best = 0, best_value = 0;
  std::vector<std::uint32_t> inside(term_count, 0);
  std::size_t distinct = 0, last = 0;
  for (std::size_t first = 0; first < marks.size(); ++first) {
    for (; last < marks.size() && marks[last].end <= marks[first].begin + width; ++last)
      if (inside[marks[last].term]++ == 0) ++distinct;
    const std::size_t value = distinct * 1000 + std::min<std::size_t>(last - first, 999);
    if (value > best_value) best_value = value, best = first;
    if (last > first && --inside[marks[first].term] == 0) --distinct;
    if (last <= first) last = first + 1;
  }
  return marks.empty() ? 0 : marks[best].begin;
}

bool breaks_at(std::string_view text, std::size_t at) {
  if (at == 0 || at >= text.size()) return true;
  std::size_t before = at - 1;
  while (before > 0 && (static_cast<unsigned char>(text[before]) & 0xC0) == 0x80) --before;
  const auto splits = [&](std::size_t i) {
    const char32_t c = text::decode(text, i);
    return !text::is_alphanumeric(c) || text::is_cjk(c);
  };
  return splits(before) || splits(at);
}

bool continues(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

/// The nearest word border at or after `at`, at most 32 bytes on; a code point border in any case.
std::size_t border_after(std::string_view text, std::size_t at) {
  while (at < text.size() && continues(text[at])) ++at;
  for (std::size_t i = at; i < std::min(text.size(), at + 32); ++i)
    if (!continues(text[i]) && breaks_at(text, i)) return i;
  return at;
}

std::size_t border_before(std::string_view text, std::size_t at) {
  while (at > 0 && at < text.size() && continues(text[at])) --at;
  for (std::size_t i = at; i + 32 > at && i > 0; --i)
    if ((i == text.size() || !continues(text[i])) && breaks_at(text, i)) return i;
  return at;
}

/// Counts code points of valid UTF-8 up to byte offsets that only grow.
class CodePoints {
 public:
  explicit CodePoints(std::string_view text) : text_(text) {}
  std::uint32_t until(std::size_t offset) {
    for (offset = std::min(offset, text_.size()); at_ < offset; ++at_)
      count_ += continues(text_[at_]) ? 0 : 1;
    return count_;
  }

 private:
  std::string_view text_;
  std::size_t at_ = 0;
  std::uint32_t count_ = 0;
};

}  // namespace

Snippet make_snippet(std::string_view plain, std::span<const std::string> terms,
                     std::string_view language, std::size_t max_bytes) {
  const std::string repaired =
      text::is_valid_utf8(plain) ? std::string() : text::repair_utf8(plain);
  std::string_view text =
      text::truncate(repaired.empty() ? plain : std::string_view(repaired), kSnippetSourceMax);
  text = text::trim(text);
  const std::vector<Mark> marks = find_marks(text, terms, language_of(language));

  std::size_t begin = 0, end = text.size();
  if (text.size() > max_bytes) {
    const std::size_t room =
        max_bytes > 2 * kEllipsis.size() ? max_bytes - 2 * kEllipsis.size() : 0;
    const std::size_t hit = choose_begin(marks, terms.size(), room);
    // Some words before the first hit, so that it reads.
    const std::size_t lead = std::min(hit, room / 5);
    begin = hit + room / 2 < room ? 0 : border_after(text, hit - lead);
    if (begin + room > text.size()) begin = border_after(text, text.size() - room);
    end = border_before(text, std::min(text.size(), begin + room));
    if (end <= begin) end = text.size() - begin <= room ? text.size() : begin;
  }
  Snippet out;
  std::string_view window = text.substr(begin, end - begin);
  if (begin > 0) out.text += kEllipsis;
  const std::size_t shift = out.text.size();
  out.text += window;
  if (end < text.size()) out.text += kEllipsis;
  CodePoints points(out.text);
  for (const Mark& mark : marks) {
    if (mark.begin < begin || mark.end > end) continue;
    const std::uint32_t first = points.until(mark.begin - begin + shift);
    out.highlights.emplace_back(first, points.until(mark.end - begin + shift));
  }
  return out;
}

std::string_view find_word(std::string_view text, std::string_view term,
                           std::string_view language) {
  const Language spoken = language_of(language);
  std::string_view found;
  std::string here;
  TermBeginnings beginnings(spoken);
  beginnings.add(term);
  for_each_token(text::truncate(text, kSnippetSourceMax), [&](const Token& token) {
    if (!found.empty() || !beginnings.may_be_term(token.source)) return;
    make_term(token, spoken, here);
    if (here == term) found = token.source;
  });
  return found;
}

}  // namespace knap::search
