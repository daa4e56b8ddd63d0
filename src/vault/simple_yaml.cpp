#include "front_matter.hpp"
#include "knap/base/text.hpp"

namespace knap::vault {
namespace {

/// What a plain scalar may hold to mean itself in every YAML reader.
bool is_simple_scalar(std::string_view text) {
  if (text.empty()) return true;
  constexpr std::string_view kReserved = "!&*{}[]|>@`%#,?:-\"'=<~";
  const char first = text[0];
  if (kReserved.find(first) != std::string_view::npos &&
      !(first == '-' && text.size() > 1 && text[1] >= '0' && text[1] <= '9'))
    return false;
  if (text.back() == ':') return false;
  return text.find(": ") == std::string_view::npos && text.find(" #") == std::string_view::npos &&
         text.find(":\t") == std::string_view::npos && text.find("\t#") == std::string_view::npos;
}

/// "text" or 'text' without anything that needs unescaping.
bool is_simple_quoted(std::string_view text) {
  if (text.size() < 2 || (text[0] != '"' && text[0] != '\'') || text.back() != text[0])
    return false;
  return text.substr(1, text.size() - 2).find_first_of(text[0] == '"' ? "\"\\" : "'") ==
         std::string_view::npos;
}

bool read_value(std::string_view text, Property& property) {
  if (is_simple_quoted(text)) {
    property.values.push_back(typed_scalar(text.substr(1, text.size() - 2), true));
    return true;
  }
  if (!is_simple_scalar(text)) return false;
  property.values.push_back(typed_scalar(text, false));
  return true;
}

bool read_flow_list(std::string_view text, Property& property) {
  if (text.size() < 2 || text[0] != '[' || text.back() != ']') return false;
  text = text::trim(text.substr(1, text.size() - 2));
  property.is_list = true;
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    const std::string_view item = text::trim(text.substr(0, comma));
    // Brackets and quotes with commas are left to the full reader.
    if (item.empty() || item.find_first_of("[]{}") != std::string_view::npos ||
        !read_value(item, property))
      return false;
    if (comma == std::string_view::npos) break;
    text = text::trim(text.substr(comma + 1));
    if (text.empty()) break;
  }
  return true;
}

bool is_simple_name(std::string_view name) {
  if (name.empty()) return false;
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && c != '_' && c != '-' && c != ' ' && c != '/' &&
        static_cast<unsigned char>(c) < 0x80)
      return false;
  }
  return name.front() != '-' && name.front() != ' ' && name.back() != ' ';
}

}  // namespace

bool read_simple_yaml(std::string_view yaml, std::uint32_t first_line, FrontMatter& result) {
  std::uint32_t line_number = first_line;
  bool list_open = false;
  std::size_t list_indent = 0;
  for (std::size_t at = 0; at < yaml.size(); ++line_number) {
    const std::size_t end = std::min(yaml.find('\n', at), yaml.size());
    std::string_view line = yaml.substr(at, end - at);
    at = end + 1;
    if (line.find('\t') != std::string_view::npos || line.find('\r') != std::string_view::npos)
      return false;
    const std::size_t indent = std::min(line.find_first_not_of(' '), line.size());
    line = text::trim(line);
    if (line.empty() || line[0] == '#') continue;
    if (line == "-" || line.starts_with("- ")) {
      if (!list_open) return false;
      Property& property = result.properties.back();
      if (property.values.empty()) {
        list_indent = indent;
      } else if (indent != list_indent) {
        return false;
      }
      property.is_list = true;
      if (!read_value(text::trim(line.substr(1)), property)) return false;
      continue;
    }
    if (indent != 0) return false;
    if (list_open && result.properties.back().values.empty())
      result.properties.back().values.emplace_back();
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_simple_name(line.substr(0, colon))) return false;
    if (colon + 1 < line.size() && line[colon + 1] != ' ') return false;
    const std::string_view name = line.substr(0, colon);
    for (const Property& property : result.properties) {
      if (property.name == name) return false;
    }
    const std::string_view value = text::trim(line.substr(colon + 1));
    result.properties.push_back({.name = std::string(name)});
    result.lines.push_back(line_number);
    list_open = value.empty();
    if (list_open) continue;
    if (value[0] == '[' ? !read_flow_list(value, result.properties.back())
                        : !read_value(value, result.properties.back()))
      return false;
    if (result.properties.size() > 200) return false;
  }
  if (list_open && result.properties.back().values.empty())
    result.properties.back().values.emplace_back();
  return true;
}

}  // namespace knap::vault
