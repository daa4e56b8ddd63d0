#pragma once

#include <string>
#include <vector>

#include "document.hpp"
#include "knap/vault/note.hpp"
#include "knap/vault/parse.hpp"

namespace knap::vault {

/// Cuts a scanned document into passages on its structure and appends them to the note; fills
/// note.headings.
/// @param outer  heading path that stands above the document, e.g. the group of a canvas card
void build_passages(const Document& document, const ParseOptions& options,
                    const std::vector<std::string>& outer, Note& note);

/// A text without Markdown (broken front matter, a .base file) as passages of one kind, cut by
/// lines.
void build_plain_passages(const Document& document, std::size_t begin, std::size_t end,
                          Passage::Kind kind, const ParseOptions& options, Note& note);

}  // namespace knap::vault
