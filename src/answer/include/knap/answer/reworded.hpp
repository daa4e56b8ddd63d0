#pragma once

#include <string>
#include <string_view>

namespace knap::answer {

/// What two wordings of one question have in common: equal prints ask the same.
///
/// A print holds in order every word that can change the answer: content words by their stem, names
/// and numbers as they are ("1,000" and "1000" alike), negations, question words, and words of
/// place, time and comparison ("before", "from", "more"). Left out are only articles, auxiliaries
/// and courtesy. The order stays, because "A before B" is not "B before A". Nearness of vectors has
/// no say: it takes "2019" for "2020".
///
/// Empty: too short to tell, or too long. Pure; threads: safe.
std::string reworded_print(std::string_view question);

}  // namespace knap::answer
