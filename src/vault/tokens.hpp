#pragma once

#include <cstdint>
#include <string_view>

namespace knap::vault {

/// How many tokens an embedding model will make of a text, by the shape of its words: a word of up
/// to seven letters, a punctuation mark, two digits or a CJK character is about one. Within some 15
/// % of MiniLM's tokenizer on prose, and rather too many than too few on code, so that a passage is
/// not cut off by the model.
std::uint32_t estimate_tokens(std::string_view text);

}  // namespace knap::vault
