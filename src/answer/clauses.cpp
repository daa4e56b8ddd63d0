#include "clauses.hpp"

#include <algorithm>
#include <array>

#include "knap/base/text.hpp"

namespace knap::answer {
namespace {

constexpr std::array<std::string_view, 12> kTurns{"whereas", "while",   "but",    "although",
                                                  "though",  "however", "unlike", "aber",
                                                  "während", "obwohl",  "jedoch", "hingegen"};

bool turns(std::string_view word) {
  while (!word.empty() && (word.back() == ',' || word.back() == ':')) word.remove_suffix(1);
  const std::string folded = text::fold(word);
  return std::ranges::any_of(kTurns,
                             [&](std::string_view each) { return folded == text::fold(each); });
}

}  // namespace

std::vector<std::string_view> clauses_of(std::string_view sentence) {
  std::vector<std::string_view> out;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < sentence.size() && out.size() + 1 < kClausesMax;) {
    const std::size_t end = std::min(sentence.find(' ', at), sentence.size());
    const std::string_view word = sentence.substr(at, end - at);
    const std::size_t cut = turns(word) ? at : (word.ends_with(';') ? end : std::string::npos);
    if (cut != std::string::npos && cut > begin) {
      out.push_back(sentence.substr(begin, cut - begin));
      begin = cut;
    }
    at = end + 1;
  }
  out.push_back(sentence.substr(begin));
  return out;
}

}  // namespace knap::answer
