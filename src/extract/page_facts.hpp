#pragma once

#include <string>

#include "html_tree.hpp"

namespace knap::extract::html {

/// What a page says about itself, in clean lines.
struct PageFacts {
  std::string title, author, published, site, description, language, canonical, base;
};

/// From linked data (JSON-LD), meta elements, the title element and the headings.
/// @param address  where the page comes from; may be empty
PageFacts find_page_facts(const Tree& page, const std::string& address);

}  // namespace knap::extract::html
