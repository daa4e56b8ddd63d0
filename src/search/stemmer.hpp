#pragma once

#include <string>

#include "analyser.hpp"

namespace knap::search {

/// Replaces a folded word by its Snowball stem. Threads: each has stemmers of its own, made on
/// first use.
void stem(Language language, std::string& word);

/// Whether stems begin as their words do. Some languages' stemmers take away prefixes.
bool keeps_beginnings(Language language);

bool stems_before_folding(Language language);

}  // namespace knap::search
