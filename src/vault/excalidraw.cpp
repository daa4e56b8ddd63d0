#include <algorithm>

#include "block_syntax.hpp"
#include "knap/base/text.hpp"
#include "parts.hpp"

namespace knap::vault {
namespace {

bool is_heading(std::string_view line, std::string_view name) {
  const auto heading = syntax::atx_heading(line);
  return heading && text::trim(line.substr(heading->content)) == name;
}

/// What the plugin itself writes above the drawing.
bool is_boilerplate(std::string_view line) {
  return line.starts_with("==\xE2\x9A\xA0") ||
         line.find("Switch to EXCALIDRAW VIEW") != std::string_view::npos ||
         text::trim(line) == "%%";
}

}  // namespace

std::vector<LineSpan> excalidraw_text_lines(const Document& document, std::size_t begin) {
  const auto& lines = document.lines;
  std::vector<LineSpan> spans;
  // The user's own notes stand before the data.
  std::size_t data = begin;
  while (data < lines.size() && !is_heading(lines[data].text, "Excalidraw Data") &&
         !is_heading(lines[data].text, "Text Elements") &&
         !is_heading(lines[data].text, "Drawing")) {
    ++data;
  }
  std::size_t open = begin;
  for (std::size_t i = begin; i <= data; ++i) {
    if (i < data && !is_boilerplate(lines[i].text)) continue;
    if (i > open) spans.push_back({.begin = open, .end = i});
    open = i + 1;
  }
  std::size_t elements = data;
  while (elements < lines.size() && !is_heading(lines[elements].text, "Text Elements")) ++elements;
  if (elements == lines.size()) return spans;
  std::size_t end = elements + 1;
  while (end < lines.size()) {
    const std::string_view line = lines[end].text;
    if (text::trim(line) == "%%" || is_heading(line, "Drawing") ||
        is_heading(line, "Embedded Files") || is_heading(line, "Element Links"))
      break;
    ++end;
  }
  spans.push_back({.begin = elements + 1, .end = end});
  return spans;
}

}  // namespace knap::vault
