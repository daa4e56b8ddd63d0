#include <algorithm>
#include <charconv>

#include <pugixml.hpp>

#include "knap/base/text.hpp"
#include "pdf_text.hpp"

namespace knap::extract {
namespace {

constexpr std::size_t kTitleBytesMax = 500;
constexpr int kOutlineDepthMax = 64;

std::string value_of(std::string_view text, std::string_view name) {
  // The last one: a title may hold line ends and what looks like other lines.
  std::size_t at = text.rfind("\n" + std::string(name));
  if (at != std::string_view::npos) {
    ++at;
  } else if (text.starts_with(name)) {
    at = 0;
  } else {
    return {};
  }
  std::string_view line = text.substr(at + name.size());
  line = line.substr(0, line.find('\n'));
  return std::string(text::truncate(clean_line(line), kTitleBytesMax));
}

/// Names that programs give by themselves.
bool is_a_title(const std::string& title) {
  const std::string folded = text::fold_case(title);
  constexpr std::string_view kEndings[] = {".doc", ".docx", ".tex", ".dvi", ".indd",  // NOLINT
                                           ".odt", ".pdf",  ".rtf", ".qxd", ".ppt",  ".pptx"};
  return folded.size() > 1 && !folded.starts_with("untitled") &&
         !folded.starts_with("microsoft word - ") &&
         !folded.starts_with("microsoft powerpoint - ") &&
         std::none_of(std::begin(kEndings), std::end(kEndings),
                      [&](std::string_view ending) { return folded.ends_with(ending); });
}

/// "<outline>" holds items, and after an item the outline of what is below it.
void read_items(const pugi::xml_node& first, std::vector<OutlineItem>& out) {
  std::uint8_t level = 1;
  int depth = 1;
  pugi::xml_node node = first.first_child();
  pugi::xml_node parent = first;
  while (out.size() < kOutlineMax) {
    if (!node) {
      if (parent == first) return;
      node = parent.next_sibling();
      parent = parent.parent();
      --depth;
      level = static_cast<std::uint8_t>(std::clamp(depth, 1, 6));
      continue;
    }
    if (std::string_view(node.name()) == "item") {
      OutlineItem item;
      item.title = text::truncate(clean_line(node.child_value()), kTitleBytesMax);
      item.page = node.attribute("page").as_uint();
      item.level = level;
      if (!item.title.empty()) out.push_back(std::move(item));
    } else if (std::string_view(node.name()) == "outline" && depth < kOutlineDepthMax) {
      parent = node;
      node = node.first_child();
      ++depth;
      level = static_cast<std::uint8_t>(std::clamp(depth, 1, 6));
      continue;
    }
    node = node.next_sibling();
  }
}

}  // namespace

std::vector<OutlineItem> read_outline(std::string_view xml) {
  std::vector<OutlineItem> items;
  // What stands before is not well-formed in every version, and its text cannot hold a tag.
  const std::size_t begin = xml.find("\n<outline>");
  if (begin == std::string_view::npos) return items;
  std::string_view part = xml.substr(begin);
  const std::size_t end = part.rfind("</outline>");
  if (end == std::string_view::npos) return items;
  part = part.substr(0, end + std::string_view("</outline>").size());
  pugi::xml_document document;
  if (!document.load_buffer(part.data(), part.size(), pugi::parse_minimal | pugi::parse_escapes,
                            pugi::encoding_utf8))
    return items;
  read_items(document.child("outline"), items);
  return items;
}

PdfFacts read_facts(std::string_view text) {
  PdfFacts facts;
  facts.title = value_of(text, "Title:");
  if (!is_a_title(facts.title)) facts.title.clear();
  facts.author = value_of(text, "Author:");
  // "2024-01-03T09:38:26+01": the day is what files agree on.
  constexpr std::size_t kDayBytes = 10;
  const std::string created = value_of(text, "CreationDate:");
  if (created.size() >= kDayBytes && created[4] == '-' && created[7] == '-')
    facts.created = created.substr(0, kDayBytes);
  const std::string pages = value_of(text, "Pages:");
  std::from_chars(pages.data(), pages.data() + pages.size(), facts.pages);
  return facts;
}

}  // namespace knap::extract
