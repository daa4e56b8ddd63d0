#include "xml.hpp"

namespace knap::extract::xml {

Status parse(std::string_view bytes, pugi::xml_document& out) {
  // White space alone can be the space between two words.
  constexpr unsigned kOptions =
      pugi::parse_cdata | pugi::parse_escapes | pugi::parse_ws_pcdata | pugi::parse_eol;
  const auto parsed = out.load_buffer(bytes.data(), bytes.size(), kOptions);
  if (parsed.status == pugi::status_out_of_memory)
    return make_error(ErrorCode::kResourceExhausted, "unpacked it is larger than the limit");
  if (!parsed) return make_error(ErrorCode::kCorruptData, "damaged: its XML is not well formed");
  return {};
}

std::string_view local(const pugi::xml_node& node) {
  const std::string_view name = node.name();
  const std::size_t colon = name.rfind(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

pugi::xml_node child(const pugi::xml_node& node, std::string_view name) {
  for (pugi::xml_node at = node.first_child(); at; at = at.next_sibling())
    if (local(at) == name) return at;
  return {};
}

std::string_view attribute(const pugi::xml_node& node, std::string_view name) {
  for (pugi::xml_attribute at = node.first_attribute(); at; at = at.next_attribute()) {
    const std::string_view full = at.name();
    const std::size_t colon = full.rfind(':');
    if ((colon == std::string_view::npos ? full : full.substr(colon + 1)) == name)
      return at.value();
  }
  return {};
}

std::string text_of(const pugi::xml_node& node) {
  std::string out;
  walk(node, [&](const pugi::xml_node& at) {
    if (at.type() == pugi::node_pcdata || at.type() == pugi::node_cdata) out += at.value();
    return true;
  });
  return out;
}

}  // namespace knap::extract::xml
