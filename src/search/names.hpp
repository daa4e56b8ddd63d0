#pragma once

#include <string_view>
#include <vector>

#include "state.hpp"

namespace knap::search {

/// Where a text names notes by title, file name or alias; see Index::names_in.
std::vector<NameMention> find_names(const State& state, std::string_view text);

/// Longer names are not looked for.
constexpr std::size_t kNameWordsMax = 8;
/// Shorter words stand for too much to be taken for a note's name.
constexpr std::size_t kNameLettersMin = 4;

}  // namespace knap::search
