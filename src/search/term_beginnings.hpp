#pragma once

#include <bitset>
#include <string>
#include <string_view>

#include "analyser.hpp"
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
    if (!term.empty()) first_.set(static_cast<unsigned char>(term.front()));
  }
  bool may_be_term(std::string_view word) const {
    const char c = word.front();
    const bool small = c >= 'a' && c <= 'z', capital = c >= 'A' && c <= 'Z';
    if (!checks_ || (!small && !capital)) return true;
    return first_.test(static_cast<unsigned char>(small ? c : c - 'A' + 'a'));
  }

 private:
  bool checks_;
  std::bitset<256> first_;
};

}  // namespace knap::search
