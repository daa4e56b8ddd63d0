#pragma once

#include <cstddef>
#include <string>

#include "html_tree.hpp"

namespace knap::extract::html {

/// Text below `id` as a reader sees it: white space runs are one space, none at the ends.
std::string text_of(const Tree& tree, Id id);

struct Measure {
  std::size_t characters = 0;  ///< Of text_of().
  double link_characters = 0;  ///< Of them in links; within the page count less.
  std::size_t commas = 0;      ///< Of all scripts.

  double link_density() const {
    return characters == 0 ? 0 : link_characters / static_cast<double>(characters);
  }
};
Measure measure(const Tree& tree, Id id);

bool is_blank(std::string_view text);
/// A text of white space, or a line break.
bool is_white(const Tree& tree, Id id);
/// Part of a line of text, not a block.
bool is_phrasing(const Tree& tree, Id id);
bool has_block_child(const Tree& tree, Id id);
/// Without text and without children other than line breaks and rules.
bool is_hollow(const Tree& tree, Id id);
/// Not hidden by its own attributes.
bool is_visible(const Tree& tree, Id id);

/// What class and id names say: "sidebar" is hardly the text, "article" rather is.
std::string names_of(const Tree& tree, Id id);  ///< Class and id in lower case.
bool names_unlikely(std::string_view names);
bool names_likely(std::string_view names);
bool names_byline(std::string_view names);
bool names_sharing(std::string_view names);
int weight_of_names(const Tree& tree, Id id);  ///< -50 to 50.

}  // namespace knap::extract::html
