#include <vector>

#include "blocks.hpp"
#include "office.hpp"
#include "xml.hpp"

namespace knap::extract {
namespace {

constexpr std::uint8_t kSlideLevel = 2;
constexpr std::uint32_t kSlidesMax = 10'000;

bool is_title(const pugi::xml_node& shape) {
  const pugi::xml_node holder = xml::child(xml::child(xml::child(shape, "nvSpPr"), "nvPr"), "ph");
  const std::string_view type = xml::attribute(holder, "type");
  return type == "title" || type == "ctrTitle";
}

/// Slide numbers, dates and footers say nothing of a slide.
bool is_furniture(const pugi::xml_node& shape) {
  const pugi::xml_node holder = xml::child(xml::child(xml::child(shape, "nvSpPr"), "nvPr"), "ph");
  const std::string_view type = xml::attribute(holder, "type");
  return type == "sldNum" || type == "dt" || type == "ftr" || type == "hdr" || type == "sldImg";
}

std::string paragraph_text(const pugi::xml_node& paragraph) {
  std::string out;
  xml::walk(paragraph, [&](const pugi::xml_node& node) {
    if (node.type() != pugi::node_element) {
      if (xml::local(node.parent()) == "t") out += node.value();
    } else if (xml::local(node) == "br" || xml::local(node) == "tab") {
      out += ' ';
    }
    return true;
  });
  return out;
}

/// Text of all paragraphs below, on one line.
std::string line_of(const pugi::xml_node& root) {
  std::string out;
  xml::walk(root, [&](const pugi::xml_node& node) {
    if (xml::local(node) != "p") return true;
    if (!out.empty()) out += ' ';
    out += paragraph_text(node);
    return false;
  });
  return out;
}

void read_table(const pugi::xml_node& table, std::uint32_t slide, BlockWriter& out) {
  for (pugi::xml_node row = table.first_child(); row; row = row.next_sibling()) {
    if (xml::local(row) != "tr") continue;
    std::vector<std::string> cells;
    for (pugi::xml_node cell = row.first_child(); cell; cell = cell.next_sibling())
      if (xml::local(cell) == "tc") cells.push_back(line_of(cell));
    out.row(cells, slide);
  }
}

/// Shapes in the order of the file; the title first, wherever it stands.
void read_shapes(const pugi::xml_node& root, std::uint32_t slide, BlockWriter& out) {
  xml::walk(root, [&](const pugi::xml_node& node) {
    if (xml::local(node) == "sp" && is_title(node)) out.heading(kSlideLevel, line_of(node), slide);
    return true;
  });
  xml::walk(root, [&](const pugi::xml_node& node) {
    if (out.full()) return false;
    const std::string_view name = xml::local(node);
    if (name == "Fallback" || (name == "sp" && (is_title(node) || is_furniture(node))))
      return false;
    if (name == "tbl") {
      read_table(node, slide, out);
      return false;
    }
    if (name != "p") return true;
    const pugi::xml_node properties = xml::child(node, "pPr");
    const bool item = xml::child(properties, "buChar") || xml::child(properties, "buAutoNum") ||
                      !xml::attribute(properties, "lvl").empty();
    out.add(item ? Block::Kind::kListItem : Block::Kind::kParagraph, paragraph_text(node), slide);
    return false;
  });
}

std::vector<std::string> slide_parts(const Parts& parts) {
  std::vector<std::string> out;
  const auto part = parts.find("ppt/presentation.xml");
  pugi::xml_document xml;
  if (part == parts.end() || !xml::parse(part->second, xml)) return out;
  const auto relations = read_relations(parts, part->first);
  const pugi::xml_node list = xml::child(xml.document_element(), "sldIdLst");
  for (pugi::xml_node at = list.first_child(); at && out.size() < kSlidesMax;
       at = at.next_sibling()) {
    // "id" is the slide's number, "r:id" names the relation.
    const auto target = relations.find(std::string_view(at.attribute("r:id").value()));
    out.push_back(target == relations.end() ? std::string() : target->second);
  }
  return out;
}

}  // namespace

Status read_pptx(const Parts& parts, Document& out) {
  if (!parts.contains("ppt/presentation.xml"))
    return make_error(ErrorCode::kCorruptData, "not such a file, in spite of its name");
  read_core_facts(parts, out);
  const std::vector<std::string> slides = slide_parts(parts);
  out.places = static_cast<std::uint32_t>(slides.size());
  BlockWriter blocks(out);
  for (std::uint32_t i = 0; i < slides.size(); ++i) {
    const auto part = parts.find(slides[i]);
    pugi::xml_document xml;
    if (part == parts.end() || !xml::parse(part->second, xml)) {
      if (out.warnings.size() < kWarningsMax)
        out.warnings.push_back("slide " + std::to_string(i + 1) + " could not be read");
      continue;
    }
    read_shapes(xml.document_element(), i + 1, blocks);
    for (const auto& [id, target] : read_relations(parts, slides[i])) {
      if (!target.starts_with("ppt/notesSlides/")) continue;
      const auto notes = parts.find(target);
      pugi::xml_document more;
      if (notes != parts.end() && xml::parse(notes->second, more))
        read_shapes(more.document_element(), i + 1, blocks);
    }
  }
  return {};
}

}  // namespace knap::extract
