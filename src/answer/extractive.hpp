#pragma once

#include <string_view>
#include <vector>

#include "knap/answer/answer.hpp"
#include "quotes.hpp"

namespace knap::answer {

/// Fills text, claims and mode of an answer that is made of the quotes themselves.
void write_extractive(const std::vector<Quote>& quotes, Answer& answer);

/// Fills an answer that says that nothing in the notes answers the question, and what was looked
/// at.
/// @param nearest  the notes that came nearest, best first; may be empty
void write_refusal(const std::vector<index::SearchHit>& nearest, std::string_view question_language,
                   Answer& answer);

}  // namespace knap::answer
