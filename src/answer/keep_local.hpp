#pragma once

#include <string>
#include <vector>

#include "knap/answer/answer.hpp"
#include "quotes.hpp"

namespace knap::answer {

/// Whether the prompt of these quotes may leave the machine: not when a single one is from a note
/// with one of the tags ("a" covers "a/b"; without regard to case) or below one of the folders
/// ("Journal", of any vault, or "vault:Journal").
models::Reach reach_of(const std::vector<Quote>& quotes, const std::vector<index::SearchHit>& hits,
                       const LocalOnly& rules);

/// What of the notes the prompt of these quotes holds. With the sentences around a quote it may be
/// a line more on either side.
std::vector<models::NotePart> parts_of(const std::vector<Quote>& quotes);

}  // namespace knap::answer
