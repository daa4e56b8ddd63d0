#include <charconv>
#include <vector>

#include "blocks.hpp"
#include "office.hpp"
#include "xml.hpp"

namespace knap::extract {
namespace {

constexpr int kStyleChainMax = 16;
constexpr int kTableDepthMax = 32;

int number(std::string_view text, int otherwise) {
  int out = otherwise;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

/// What a paragraph style makes of a paragraph.
struct Style {
  std::string parent;
  std::uint8_t level = 0;  ///< Of a heading.
  bool list = false;
};
using Styles = std::map<std::string, Style, std::less<>>;

std::uint8_t outline_level(const pugi::xml_node& properties) {
  const pugi::xml_node level = xml::child(properties, "outlineLvl");
  constexpr int kBodyText = 9;
  const int value = level ? number(xml::attribute(level, "val"), kBodyText) : kBodyText;
  return value >= 0 && value < kBodyText ? static_cast<std::uint8_t>(value + 1) : 0;
}

Styles read_styles(const Parts& parts) {
  Styles styles;
  const auto part = parts.find("word/styles.xml");
  pugi::xml_document xml;
  if (part == parts.end() || !xml::parse(part->second, xml)) return styles;
  for (pugi::xml_node at = xml.document_element().first_child(); at; at = at.next_sibling()) {
    if (xml::local(at) != "style") continue;
    Style style;
    const pugi::xml_node properties = xml::child(at, "pPr");
    style.level = outline_level(properties);
    style.list = static_cast<bool>(xml::child(properties, "numPr"));
    style.parent = xml::attribute(xml::child(at, "basedOn"), "val");
    if (xml::attribute(xml::child(at, "name"), "val") == "Title") style.level = 1;
    styles.insert_or_assign(std::string(xml::attribute(at, "styleId")), style);
  }
  return styles;
}

/// A style with what it takes from those it is based on.
Style resolved(const Styles& styles, std::string_view id) {
  Style out;
  for (int i = 0; i < kStyleChainMax; ++i) {
    const auto style = styles.find(id);
    if (style == styles.end()) break;
    if (out.level == 0) out.level = style->second.level;
    out.list = out.list || style->second.list;
    id = style->second.parent;
  }
  return out;
}

bool is_hidden(std::string_view name) {
  return name == "del" || name == "moveFrom" || name == "instrText" || name == "delText" ||
         name == "Fallback" || name == "rPr" || name == "sectPr" || name == "annotationRef" ||
         name == "posOffset" || name == "align";
}

/// Reads a story (body, footnotes): paragraphs and tables in order.
class StoryReader {
 public:
  StoryReader(const Styles& styles, BlockWriter& out) : styles_(styles), out_(out) {}

  void read(const pugi::xml_node& root) {
    xml::walk(
        root, [this](const pugi::xml_node& node) { return enter(node); },
        [this](const pugi::xml_node& node) { leave(node); });
    if (depth_ == 0) end_paragraph();
  }

 private:
  bool enter(const pugi::xml_node& node) {
    if (out_.full()) return false;
    if (node.type() == pugi::node_pcdata || node.type() == pugi::node_cdata) {
      if (xml::local(node.parent()) == "t") text_ += node.value();
      return true;
    }
    const std::string_view name = xml::local(node);
    if (is_hidden(name)) return false;
    if (name == "pPr") {
      properties(node);
      return false;
    }
    if (name == "p" && depth_ == 0) end_paragraph();
    if (name == "p" && depth_ > 0 && !text_.empty()) text_ += ' ';
    if (name == "tab" || name == "br" || name == "cr") text_ += ' ';
    if (name == "noBreakHyphen") text_ += '-';
    if (name == "tbl") begin_table();
    return true;
  }

  void leave(const pugi::xml_node& node) {
    const std::string_view name = xml::local(node);
    if (name == "p" && depth_ == 0) end_paragraph();
    if (depth_ == 1 && name == "tc") cells_.push_back(std::exchange(text_, {}));
    if (depth_ == 1 && name == "tr") {
      out_.row(cells_);
      cells_.clear();
    }
    if (name == "tbl" && depth_ > 0) --depth_;
  }

  void begin_table() {
    if (depth_ == 0) end_paragraph();
    // A table within a cell is text of that cell.
    if (depth_ < kTableDepthMax) ++depth_;
  }

  void properties(const pugi::xml_node& node) {
    if (depth_ > 0) return;
    style_ = resolved(styles_, xml::attribute(xml::child(node, "pStyle"), "val"));
    if (const std::uint8_t level = outline_level(node); level != 0) style_.level = level;
    const pugi::xml_node list = xml::child(node, "numPr");
    if (list) style_.list = xml::attribute(xml::child(list, "numId"), "val") != "0";
  }

  void end_paragraph() {
    if (style_.level != 0) {
      out_.heading(style_.level, text_);
    } else {
      out_.add(style_.list ? Block::Kind::kListItem : Block::Kind::kParagraph, text_);
    }
    text_.clear();
    style_ = {};
  }

  const Styles& styles_;
  BlockWriter& out_;
  std::string text_;
  Style style_;
  std::vector<std::string> cells_;
  int depth_ = 0;  ///< Of tables.
};

}  // namespace

Status read_docx(const Parts& parts, Document& out) {
  const auto part = parts.find("word/document.xml");
  if (part == parts.end())
    return make_error(ErrorCode::kCorruptData, "not such a file, in spite of its name");
  read_core_facts(parts, out);
  const Styles styles = read_styles(parts);
  BlockWriter blocks(out);
  pugi::xml_document xml;
  KNAP_CHECK_OK(xml::parse(part->second, xml));
  StoryReader(styles, blocks).read(xml.document_element());
  for (const char* notes : {"word/footnotes.xml", "word/endnotes.xml"}) {
    const auto found = parts.find(notes);
    pugi::xml_document more;
    if (found != parts.end() && xml::parse(found->second, more))
      StoryReader(styles, blocks).read(more.document_element());
  }
  return {};
}

}  // namespace knap::extract
