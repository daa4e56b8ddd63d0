#include "json_places.hpp"

namespace knap::vault {

std::vector<std::uint32_t> field_lines(std::string_view json, std::string_view array,
                                       std::string_view key, std::size_t limit) {
  std::vector<std::uint32_t> lines;
  std::uint32_t line = 1;
  std::size_t depth = 0;
  bool in_array = false;       // Inside the wanted array, elements at depth 2.
  bool element_open = false;   // An element has begun and is not yet recorded.
  std::string_view last_name;  // The latest string at depth 1 or 3: a name when ':' follows.
  bool names_array = false;    // The wanted name stood last at depth 1.
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    switch (c) {
      case '\n': ++line; break;
      case '"': {
        std::size_t end = i + 1;
        while (end < json.size() && json[end] != '"') end += json[end] == '\\' ? 2 : 1;
        last_name = json.substr(i + 1, end - i - 1);
        if (in_array && depth == 2 && element_open == false) {
          if (lines.size() == limit) return lines;
          lines.push_back(line);
          element_open = true;
        }
        i = end;
        break;
      }
      case ':':
        if (depth == 1) {
          names_array = last_name == array;
          // Twice the same name: the last one counts, as for Boost.JSON.
          if (names_array) lines.clear();
        }
        if (in_array && depth == 3 && last_name == key && !lines.empty()) {
          std::size_t value = i + 1;
          std::uint32_t at = line;
          while (value < json.size() && (json[value] == ' ' || json[value] == '\t' ||
                                         json[value] == '\r' || json[value] == '\n')) {
            if (json[value] == '\n') ++at;
            ++value;
          }
          lines.back() = at;
        }
        break;
      case '{':
      case '[':
        if (depth == 1 && c == '[' && names_array) in_array = true;
        if (in_array && depth == 2) {
          if (lines.size() == limit) return lines;
          lines.push_back(line);
          element_open = true;
        }
        ++depth;
        break;
      case '}':
      case ']':
        if (depth > 0) --depth;
        if (depth == 1 && in_array) in_array = names_array = false;
        break;
      case ',':
        if (depth == 1) names_array = false;
        if (depth == 2) element_open = false;
        break;
      case ' ':
      case '\t':
      case '\r': break;
      default:
        // A number or word as an element of the array.
        if (in_array && depth == 2 && !element_open) {
          if (lines.size() == limit) return lines;
          lines.push_back(line);
          element_open = true;
        }
        break;
    }
  }
  return lines;
}

}  // namespace knap::vault
