#pragma once

#include <algorithm>
#include <bitset>
#include <string>
#include <string_view>
#include <vector>

#include "analyser.hpp"
#include "knap/base/text.hpp"
#include "stemmer.hpp"

namespace knap::search {

/// Tells cheaply of most words of a text that they cannot be one of some terms: these begin
/// otherwise.
class TermBeginnings {
 public:
  explicit TermBeginnings(Language language) : checks_(keeps_beginnings(language)) {}
  template <typename Terms>
  TermBeginnings(const Terms& terms, Language language) : TermBeginnings(language) {
    for (const std::string& term : terms) add(term);
  }
  void add(std::string_view term) {
    if (term.empty()) return;
    std::size_t at = 0;
    const char32_t first = text::decode(term, at);
    if (first < 0x80) {
      first_.set(first);
    } else if (std::find(others_.begin(), others_.end(), first) == others_.end()) {
      others_.push_back(first);
    }
  }
  bool may_be_term(std::string_view word) const {
    const char c = word.front();
    const bool small = c >= 'a' && c <= 'z', capital = c >= 'A' && c <= 'Z';
    if (!checks_) return true;
    if (small || capital) return first_.test(static_cast<std::size_t>(small ? c : c - 'A' + 'a'));
    return static_cast<unsigned char>(c) < 0x80 || may_begin(word);
  }

 private:
  /// Letters of Latin, Greek and Cyrillic lose their marks by folding, whatever follows; ideographs
  /// stay as they are. Others may change with what follows them.
  bool may_begin(std::string_view word) const {
    std::size_t end = 0;
    const char32_t c = text::decode(word, end);
    if (c >= 0x4E00 && c <= 0x9FFF)
      return std::find(others_.begin(), others_.end(), c) != others_.end();
    const bool letter =
        (c >= 0xC0 && c < 0x300) || (c >= 0x370 && c < 0x530) || (c >= 0x1E00 && c < 0x1F00);
    if (!letter) return true;
    const std::string folded = text::fold(word.substr(0, end));
    if (folded.empty()) return true;
    end = 0;
    const char32_t first = text::decode(folded, end);
    return first < 0x80 ? first_.test(first)
                        : std::find(others_.begin(), others_.end(), first) != others_.end();
  }

  bool checks_;
  std::bitset<128> first_;
  std::vector<char32_t> others_;  ///< First letters beyond ASCII; a query has a few.
};

}  // namespace knap::search
