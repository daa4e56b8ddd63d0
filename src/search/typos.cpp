#include "typos.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <map>

#include "analyser.hpp"
#include "knap/base/text.hpp"

namespace knap::search {
namespace {

constexpr std::size_t kOneSlip = 4, kTwoSlips = 6;  // letters

using Letters = std::array<char32_t, kTokenBytesMax>;

std::size_t decode_all(std::string_view text, Letters& out) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < text.size() && count < out.size();)
    out[count++] = text::decode(text, i);
  return count;
}

/// A set of the letters of a text: one bit for each ASCII character, several sharing one. A letter
/// of one text whose bit the other lacks was changed or left out there, so that many such bits are
/// at least as many slips.
std::uint32_t letter_set(std::string_view text) {
  std::uint32_t set = 0;
  for (const char c : text)
    if (static_cast<unsigned char>(c) < 0x80) set |= 1U << (static_cast<unsigned char>(c) & 31U);
  return set;
}

bool is_word(std::string_view term) {
  for (std::size_t i = 0; i < term.size();) {
    const char32_t c = text::decode(term, i);
    if ((c < 0x80 && (c < 'a' || c > 'z')) || text::is_cjk(c)) return false;
  }
  return true;
}

}  // namespace

std::uint32_t edit_distance(std::string_view a, std::string_view b, std::uint32_t most) {
  Letters left, right;
  std::size_t n = decode_all(a, left), m = decode_all(b, right);
  if (n > m + most || m > n + most) return most + 1;
  for (; n > 0 && m > 0 && left[n - 1] == right[m - 1]; --n, --m) {
  }
  std::array<std::array<std::uint32_t, kTokenBytesMax + 1>, 3> rows;
  for (std::size_t j = 0; j <= m; ++j) rows[0][j] = static_cast<std::uint32_t>(j);
  for (std::size_t i = 1; i <= n; ++i) {
    auto& row = rows[i % 3];
    const auto& above = rows[(i + 2) % 3];
    const auto& two_above = rows[(i + 1) % 3];
    row[0] = static_cast<std::uint32_t>(i);
    std::uint32_t least = row[0];
    for (std::size_t j = 1; j <= m; ++j) {
      const std::uint32_t change = above[j - 1] + (left[i - 1] == right[j - 1] ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, change});
      if (i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1])
        row[j] = std::min(row[j], two_above[j - 2] + 1);
      least = std::min(least, row[j]);
    }
    if (least > most) return most + 1;
  }
  return std::min(rows[n % 3][m], most + 1);
}

std::vector<NearTerm> find_near_terms(const State& state, std::string_view term) {
  if (term.size() > kTokenBytesMax || !is_word(term)) return {};
  Letters decoded;
  const std::size_t letters = decode_all(term, decoded);
  if (letters < kOneSlip) return {};
  std::uint32_t most = letters < kTwoSlips ? 1 : 2;
  std::size_t first = 0;
  text::decode(term, first);
  const std::string_view beginning = term.substr(0, first);
  const std::uint32_t set = letter_set(term);
  std::map<std::string, NearTerm, std::less<>> found;
  std::size_t scanned = 0;
  for (const SegmentView& view : state.segments) {
    const Segment& segment = *view.segment;
    const auto [begin, end] = segment.prefix_range(beginning);
    for (std::uint32_t t = begin; t < end && scanned < kNearScanMax; ++t, ++scanned) {
      const std::string_view other = segment.term_text(t);
      if (other.size() > term.size() + most * 4 || other.size() + most * 4 < term.size()) continue;
      const std::uint32_t other_set = letter_set(other);
      if (std::popcount(set & ~other_set) > static_cast<int>(most) ||
          std::popcount(other_set & ~set) > static_cast<int>(most))
        continue;
      const std::uint32_t distance = edit_distance(term, other, most);
      if (distance > most || !is_word(other)) continue;
      auto& near = found.try_emplace(std::string(other)).first->second;
      near.distance = distance;
      near.notes += segment.terms[t].notes;
      most = std::min(most, std::max(1U, distance));
    }
  }
  std::vector<NearTerm> near;
  for (auto& [text, one] : found)
    if (one.distance <= most) near.push_back({text, one.distance, one.notes});
  std::sort(near.begin(), near.end(), [](const NearTerm& a, const NearTerm& b) {
    if (a.distance != b.distance) return a.distance < b.distance;
    return a.notes != b.notes ? a.notes > b.notes : a.term < b.term;
  });
  if (near.size() > kNearTermsMax) near.resize(kNearTermsMax);
  return near;
}

}  // namespace knap::search
