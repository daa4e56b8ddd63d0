#pragma once

#include <string>
#include <string_view>

#include <pugixml.hpp>

#include "knap/base/result.hpp"

namespace knap::extract::xml {

/// XML of office files: names are compared without their prefix. Entities of a document's own are
/// never expanded, nothing is loaded from elsewhere.

/// Errors: kCorruptData.
Status parse(std::string_view bytes, pugi::xml_document& out);

std::string_view local(const pugi::xml_node& node);
pugi::xml_node child(const pugi::xml_node& node, std::string_view name);
std::string_view attribute(const pugi::xml_node& node, std::string_view name);

/// Visits everything below `root` in order, without recursion.
/// @param enter  of an element or a text; false: what is below is passed over
/// @param leave  of an element that was entered
template <typename Enter, typename Leave>
void walk(const pugi::xml_node& root, const Enter& enter, const Leave& leave) {
  pugi::xml_node node = root.first_child();
  pugi::xml_node parent = root;
  for (;;) {
    if (!node) {
      if (parent == root) return;
      leave(parent);
      node = parent.next_sibling();
      parent = parent.parent();
      continue;
    }
    if (enter(node) && node.type() == pugi::node_element) {
      parent = node;
      node = node.first_child();
      continue;
    }
    node = node.next_sibling();
  }
}
template <typename Enter>
void walk(const pugi::xml_node& root, const Enter& enter) {
  walk(root, enter, [](const pugi::xml_node&) {});
}

/// All text below a node, as it stands.
std::string text_of(const pugi::xml_node& node);

}  // namespace knap::extract::xml
