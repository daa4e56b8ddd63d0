#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "document.hpp"
#include "knap/vault/note.hpp"

namespace knap::vault {

/// Where a note's front matter stands: lines [1, close) between two "---".
struct FrontMatterRange {
  std::size_t close = 0;
};
std::optional<FrontMatterRange> find_front_matter(const Document& document);

struct FrontMatter {
  std::vector<Property> properties;
  std::vector<std::uint32_t> lines;  ///< Line of each property's name, as in properties.
  std::string error;  ///< Not empty: no valid YAML map, says why and where. No note text.
};

/// Reads YAML as Obsidian's properties.
/// Guards: size, nesting, number of values; aliases are never expanded into copies of collections.
/// @param first_line  number in the file of the YAML's first line
FrontMatter read_front_matter(std::string_view yaml, std::uint32_t first_line,
                              std::uint32_t max_nesting);

/// The part of YAML that nearly all front matter is made of ("name: value" and lists of plain or
/// quoted text), read some twenty times faster than by yaml-cpp. False: not of that part, and
/// `result` is worth nothing.
bool read_simple_yaml(std::string_view yaml, std::uint32_t first_line, FrontMatter& result);

/// A scalar with Obsidian's type.
/// @param quoted  text in quotes is never a number or a checkbox
Property::Scalar typed_scalar(std::string_view text, bool quoted);

/// "2026-01-05", "2026-01-05T10:00", "2026-01-05 10:00:30Z": the whole text. Time zones are
/// dropped, as Obsidian does.
std::optional<DateTime> parse_date_time(std::string_view text);

/// Fills title, aliases, tags, created, language, links from the properties, then moves them into
/// the note.
void apply_front_matter(FrontMatter front_matter, Note& note);

}  // namespace knap::vault
