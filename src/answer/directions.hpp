#pragma once

#include <string_view>
#include <vector>

#include "words.hpp"

namespace knap::answer {

/// How a statement's words of direction ("increases", "lower", "prevents") and its denying prefixes
/// ("inaccurate") go with a quote.
enum class Direction {
  kAgrees,    ///< Or there are none.
  kUntold,    ///< The quote has no word of that direction.
  kOpposite,  ///< It has one of the other direction, or denies by a prefix what is asserted.
};
Direction compare_directions(const std::vector<Word>& statement, const std::vector<Word>& quote);

/// True for sentences that ask or announce rather than assert: "we examined whether...", "to assess
/// ...". What they hold is no evidence.
bool only_asks(const std::vector<Word>& sentence);

/// Whether a word tells a direction: "increases", "lower".
bool tells_direction(const Word& word);

/// Whether a word may deny another one by its beginning, such as "inaccurate"; some only look so.
bool looks_denied(const Word& word);

}  // namespace knap::answer
