#include "pdf_page.hpp"

#include <algorithm>
#include <cmath>

#include <pugixml.hpp>

#include "knap/extract/document.hpp"

namespace knap::extract {
namespace {

constexpr float kCoordinateMax = 1e6F;  // pages of more are no pages
// Words farther apart than this many times their height are cells side by side.
constexpr float kCellGap = 1.6F;
constexpr float kWordGap = .12F;  // nearer ones are parts of one word

struct Word {
  Box box;
  std::string text;
};

float number(const pugi::xml_node& node, const char* name) {
  const float value = node.attribute(name).as_float();
  return std::isfinite(value) ? std::clamp(value, -kCoordinateMax, kCoordinateMax) : 0;
}

Box box_of(const pugi::xml_node& node) {
  return {number(node, "xMin"), number(node, "yMin"), number(node, "xMax"), number(node, "yMax")};
}

/// Parts of one word in several fonts: a raised number, an accent.
bool touch(const Box& a, const Box& b) {
  const float gap = std::max(b.left - a.right, a.left - b.right);
  return gap < kWordGap * std::max(a.height(), b.height());
}

/// Without the dots that lead from a title to its page number.
std::string without_leaders(std::string text) {
  constexpr std::size_t kDotsMin = 4;
  for (std::size_t at = text.find('.'); at != std::string::npos; at = text.find('.', at)) {
    std::size_t dots = 0;
    std::size_t end = at;
    while (end < text.size() && (text[end] == '.' || text[end] == ' ')) {
      if (text[end] == '.') ++dots;
      ++end;
    }
    if (dots < kDotsMin) {
      at = end;
      continue;
    }
    while (at > 0 && text[at - 1] == ' ') --at;
    text.replace(at, end - at, end < text.size() ? " " : "");
    ++at;
  }
  return text;
}

TextLine line_of(std::vector<Word>& words) {
  TextLine line;
  line.box = words.front().box;
  std::vector<float> heights;
  std::string text;
  const Word* before = nullptr;
  for (const Word& word : words) {
    line.box.left = std::min(line.box.left, word.box.left);
    line.box.top = std::min(line.box.top, word.box.top);
    line.box.right = std::max(line.box.right, word.box.right);
    line.box.bottom = std::max(line.box.bottom, word.box.bottom);
    heights.push_back(word.box.height());
    if (before != nullptr && !touch(before->box, word.box)) text += ' ';
    text += word.text;
    before = &word;
  }
  const auto middle = heights.begin() + static_cast<std::ptrdiff_t>(heights.size() / 2);
  std::nth_element(heights.begin(), middle, heights.end());
  line.size = *middle;
  line.text = without_leaders(std::move(text));
  words.clear();
  return line;
}

void add_words(std::vector<Word>& words, Page& page) {
  TextLine line = line_of(words);
  if (!line.text.empty()) page.lines.push_back(std::move(line));
}

void add_line(const pugi::xml_node& node, Page& page) {
  std::vector<Word> words;
  for (const pugi::xml_node& child : node.children("word")) {
    Word word{box_of(child), clean_line(child.child_value())};
    if (word.text.empty()) continue;
    if (!words.empty()) {
      const Box& before = words.back().box;
      const float gap = std::max(word.box.left - before.right, before.left - word.box.right);
      if (gap > kCellGap * std::max(word.box.height(), before.height())) add_words(words, page);
    }
    words.push_back(std::move(word));
  }
  if (!words.empty()) add_words(words, page);
}

}  // namespace

Result<std::vector<Page>> read_pages(std::string_view xml, std::uint32_t first_page) {
  pugi::xml_document document;
  // No DTD, no entities but XML's own, no white space alone.
  const auto parsed = document.load_buffer(
      xml.data(), xml.size(), pugi::parse_minimal | pugi::parse_escapes, pugi::encoding_utf8);
  const pugi::xml_node body = document.child("html").child("body").child("doc");
  if (!parsed || !body)
    return make_error(ErrorCode::kCorruptData, "pdftotext wrote something else than pages");
  std::vector<Page> pages;
  for (const pugi::xml_node& node : body.children("page")) {
    Page& page = pages.emplace_back();
    page.number = first_page + static_cast<std::uint32_t>(pages.size()) - 1;
    page.width = number(node, "width");
    page.height = number(node, "height");
    for (const pugi::xml_node& flow : node.children("flow")) {
      for (const pugi::xml_node& block : flow.children("block")) {
        for (const pugi::xml_node& line : block.children("line")) {
          if (page.lines.size() < kLinesPerPageMax) add_line(line, page);
        }
      }
    }
  }
  return pages;
}

}  // namespace knap::extract
