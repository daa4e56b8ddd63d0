#pragma once

#include <string>
#include <string_view>

#include "knap/vault/note.hpp"

namespace knap::vault {

/// "Folder/Note#A#B|alias" or "Note#^id": what stands between the brackets of a wikilink.
Link parse_wikilink(std::string_view inside);
/// Splits "path#A#^id" into target, heading and block.
void split_link_path(std::string_view path, Link& link);

/// What a reader sees of a link without alias: the file's name, and the heading behind " > ".
std::string link_display(const Link& link);

std::string percent_decode(std::string_view text);
/// "https:", "mailto:", "obsidian:" and "//host": a place outside the vault.
bool is_external(std::string_view destination);
/// "300" and "300x200": the size of an embedded image, not its text.
bool is_image_size(std::string_view alias);

/// Wikilinks and Markdown links to files of the vault in a property's text.
void collect_property_links(std::string_view text, std::uint32_t line, std::vector<Link>& links);

}  // namespace knap::vault
