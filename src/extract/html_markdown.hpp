#pragma once

#include <string>
#include <vector>

#include "html_tree.hpp"
#include "knap/extract/document.hpp"

namespace knap::extract::html {

struct Written {
  std::string markdown;
  std::vector<Block> blocks;  ///< The same text without marks.
};

/// The text below `content` as Markdown that means in Obsidian what the page shows and nothing
/// more: what would be a tag, a block id, a comment, a formula, an inline field or a command of a
/// plugin is escaped or broken up, and pictures are links, so that opening a note fetches nothing.
/// Headings begin at level 2. Stops at kDocumentBytesMax.
/// @param base  what links are relative to; may be empty
Written write_markdown(const Tree& tree, Id content, const std::string& base);

}  // namespace knap::extract::html
