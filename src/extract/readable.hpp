#pragma once

#include <string>

#include "html_tree.hpp"

namespace knap::extract::html {

/// The part of a page that is its text.
struct Article {
  Tree tree;
  Id content = kNone;
  std::string byline;  ///< As it stands in the page; empty: none was found.
};

struct ArticleHints {
  std::string title;        ///< A heading that repeats it is left out.
  bool has_author = false;  ///< Then bylines are text like any other.
};

/// Finds the readable part of a page: paragraphs give their ancestors points by length and commas,
/// names and links take some away; the best element is joined with such siblings as look like its
/// continuation, and cleaned of what is not text. A page where that leaves little is read again
/// with less strict rules. Always gives an article; it may be empty. The method is that of Arc90's
/// Readability as it lives on in browsers' reading modes.
Article find_article(const Tree& page, const ArticleHints& hints);

/// Takes out of `content` what is no text: forms, buttons, lists of links, empty boxes.
struct CleaningRules {
  bool by_names = true;    ///< Class and id names count.
  bool by_content = true;  ///< So does what a box holds.
};
void clean_article(Tree& tree, Id content, const CleaningRules& rules);

}  // namespace knap::extract::html
