#include "splitter.hpp"

#include <algorithm>

#include "block_syntax.hpp"
#include "knap/base/text.hpp"
#include "tokens.hpp"

namespace knap::vault {
namespace {

bool ends_sentence(std::string_view plain) {
  if (plain.empty()) return true;
  const char last = plain.back();
  if (last == '.' || last == '!' || last == '?' || last == ':') return true;
  return plain.ends_with("\xE3\x80\x82") || plain.ends_with("\xEF\xBC\x81") ||
         plain.ends_with("\xEF\xBC\x9F");
}

}  // namespace

Splitter::Splitter(const Document& document, const PassageOptions& options)
    : document_(document),
      target_(std::max<std::uint32_t>(options.target_tokens, 16)),
      max_(std::max(options.max_tokens, target_)) {}

std::uint32_t Splitter::tokens(std::size_t begin, std::size_t end) const {
  std::uint32_t sum = 0;
  for (std::size_t i = begin; i < end; ++i)
    sum += estimate_tokens(document_.plain_of(document_.lines[i]));
  return sum;
}

std::string Splitter::plain(std::size_t begin, std::size_t end) const {
  std::string out;
  for (std::size_t i = begin; i < end; ++i) {
    const Line& line = document_.lines[i];
    // Blank lines of code are part of it; others only divide.
    if (line.plain_begin == line.plain_end && line.kind != LineKind::kCode) continue;
    if (!out.empty()) out += '\n';
    out += document_.plain_of(line);
  }
  return out;
}

std::string Splitter::text(std::size_t begin, std::size_t end) const {
  std::string out;
  for (std::size_t i = begin; i < end; ++i) {
    if (i > begin) out += '\n';
    out += document_.lines[i].text;
  }
  return out;
}

int Splitter::strength(std::size_t line, std::size_t begin, BlockKind kind) const {
  const Line& here = document_.lines[line];
  const Line& before = document_.lines[line - 1];
  const bool after_blank = before.kind == LineKind::kBlank || syntax::is_blank(before.text);
  switch (kind) {
    case BlockKind::kList:
      if (here.item_start) return here.content <= document_.lines[begin].content ? 3 : 2;
      return after_blank ? 1 : 0;
    case BlockKind::kTable: return here.kind == LineKind::kTableRow ? 3 : 0;
    case BlockKind::kCode:
    case BlockKind::kMath:
      if (after_blank) return 3;
      return !here.text.empty() && here.text[0] != ' ' && here.text[0] != '\t' &&
                     here.text[0] != '}'
                 ? 2
                 : 1;
    case BlockKind::kHeading:
    case BlockKind::kParagraph:
    case BlockKind::kCallout:
    case BlockKind::kQuote:
    case BlockKind::kHidden: break;
  }
  if (here.kind == LineKind::kCode || here.kind == LineKind::kHidden) return 0;
  if (after_blank || here.item_start) return 3;
  if (here.kind == LineKind::kTableRow) return before.kind == LineKind::kTableRow ? 1 : 3;
  return ends_sentence(document_.plain_of(before)) ? 2 : 0;
}

void Splitter::split(std::size_t begin, std::size_t end, BlockKind kind,
                     const std::function<bool(const Piece&)>& piece) const {
  // Later pieces of a table repeat its head in their plain text: rows mean little without it.
  const std::string head = kind == BlockKind::kTable
                               ? std::string(document_.plain_of(document_.lines[begin]))
                               : std::string();
  for (std::size_t first = begin; first < end;) {
    std::uint32_t sum = 0;
    std::size_t cut = first;
    int best = -1;
    std::size_t i = first;
    for (; i < end; ++i) {
      const std::uint32_t tokens = estimate_tokens(document_.plain_of(document_.lines[i]));
      if (i > first) {
        const int value = sum >= target_ / 2 ? strength(i, begin, kind) : -1;
        // Past the target a cut must be better than what is already found.
        if (value > best || (value == best && value >= 0 && sum <= target_)) {
          best = value;
          cut = i;
        }
        if (sum + tokens > max_) break;
      } else if (tokens > max_) {
        if (!split_line(i, piece)) return;
        cut = i + 1;
        break;
      }
      sum += tokens;
    }
    if (i == first) {
      first = cut;
      continue;
    }
    if (i == end) {
      cut = end;
    } else if (best < 0) {
      cut = i;  // A short line before an overlong one.
    }
    Piece out{.first = first, .last = cut - 1, .plain = plain(first, cut)};
    if (first > begin && !head.empty() && !out.plain.empty()) out.plain.insert(0, head + "\n");
    if (!out.plain.empty() && !piece(out)) return;
    first = cut;
  }
}

bool Splitter::split_line(std::size_t index, const std::function<bool(const Piece&)>& piece) const {
  const Line& line = document_.lines[index];
  const auto& cuts = document_.cuts;
  auto at = std::lower_bound(cuts.begin(), cuts.end(), index,
                             [](const CutPoint& a, std::size_t i) { return a.line < i; });
  const auto last =
      std::find_if(at, cuts.end(), [&](const CutPoint& a) { return a.line != index; });
  std::uint32_t raw = 0;
  std::uint32_t plain = line.plain_begin;
  const auto deliver = [&](std::size_t raw_end, std::size_t plain_end) {
    if (plain_end <= plain || raw_end < raw) return true;
    const std::string_view text = text::trim(line.text.substr(raw, raw_end - raw));
    const std::string_view seen =
        text::trim(std::string_view(document_.plain).substr(plain, plain_end - plain));
    if (seen.empty()) return true;
    return piece({.first = index,
                  .last = index,
                  .plain = std::string(seen),
                  .text = text,
                  .within_line = true});
  };
  while (at != last) {
    // The best cut between half the target and the maximum.
    auto chosen = last;
    std::uint32_t sum = 0;
    std::uint32_t from = plain;
    auto next = at;
    bool rest_fits = true;
    for (; next != last; ++next) {
      if (next->plain < from || next->plain > line.plain_end) continue;
      sum += estimate_tokens(std::string_view(document_.plain).substr(from, next->plain - from));
      from = next->plain;
      if (sum > max_) {
        rest_fits = false;
        if (chosen == last) chosen = next;
        break;
      }
      if (sum < target_ / 2) continue;
      if (chosen == last || next->strength > chosen->strength ||
          (next->strength == chosen->strength && sum <= target_))
        chosen = next;
    }
    if (rest_fits &&
        sum + estimate_tokens(
                  std::string_view(document_.plain).substr(from, line.plain_end - from)) <=
            max_)
      break;
    if (chosen == last) break;
    if (!deliver(chosen->raw, chosen->plain)) return false;
    raw = chosen->raw;
    plain = chosen->plain;
    at = std::next(chosen);
  }
  return deliver(line.text.size(), line.plain_end);
}

}  // namespace knap::vault
