#include <algorithm>
#include <vector>

#include "blocks.hpp"
#include "knap/base/text.hpp"
#include "office.hpp"
#include "xml.hpp"

namespace knap::extract {
namespace {

constexpr unsigned kRepeatedMax = 16;  // equal cells side by side that are written out
constexpr std::uint8_t kSheetLevel = 2;
constexpr std::size_t kFieldBytesMax = 500;
constexpr std::size_t kDayBytes = 10;

/// Reads office:text, office:presentation or office:spreadsheet.
class BodyReader {
 public:
  explicit BodyReader(Document& out) : document_(out), out_(out) {}

  void read(const pugi::xml_node& root) {
    xml::walk(
        root, [this](const pugi::xml_node& node) { return enter(node); },
        [this](const pugi::xml_node& node) { leave(node); });
  }

 private:
  static bool is_hidden(std::string_view name) {
    return name == "tracked-changes" || name == "annotation" || name == "forms" ||
           name == "sequence-decls" || name == "note-citation" || name == "settings" ||
           name == "shapes" || name == "desc" || name == "title";
  }

  bool enter(const pugi::xml_node& node) {
    if (out_.full()) return false;
    if (node.type() == pugi::node_pcdata || node.type() == pugi::node_cdata) {
      // White space between elements is layout of the file.
      if (paragraphs_ > 0) text_ += node.value();
      return true;
    }
    const std::string_view name = xml::local(node);
    if (is_hidden(name)) return false;
    if (name == "p" || name == "h") {
      if (paragraphs_ > 0 || !cells_.empty() || in_cell_) text_ += text_.empty() ? "" : " ";
      ++paragraphs_;
    } else if (name == "s") {
      text_.append(std::clamp(node.attribute("text:c").as_uint(1), 1U, 8U), ' ');
    } else if (name == "tab" || name == "line-break") {
      text_ += ' ';
    } else if (name == "list-item" || name == "list-header") {
      ++items_;
    } else if (name == "page") {
      ++place_;
      document_.places = place_;
    } else if (name == "frame") {
      title_ = xml::attribute(node, "class") == "title";
    } else if (name == "table") {
      if (tables_++ == 0 && std::string_view(node.parent().name()) == "office:spreadsheet")
        out_.heading(kSheetLevel, xml::attribute(node, "name"), place_);
    } else if (name == "table-cell" || name == "covered-table-cell") {
      if (tables_ == 1) in_cell_ = true;
    }
    return true;
  }

  void leave(const pugi::xml_node& node) {
    const std::string_view name = xml::local(node);
    if (name == "p" || name == "h") {
      --paragraphs_;
      if (paragraphs_ == 0 && tables_ == 0) end_paragraph(node, name == "h");
    } else if (name == "list-item" || name == "list-header") {
      --items_;
    } else if (name == "frame") {
      title_ = false;
    } else if (name == "table") {
      --tables_;
    } else if (tables_ == 1 && (name == "table-cell" || name == "covered-table-cell")) {
      end_cell(node);
    } else if (tables_ == 1 && name == "table-row") {
      out_.row(cells_, place_);
      cells_.clear();
    }
  }

  void end_paragraph(const pugi::xml_node& node, bool heading) {
    if (heading || title_) {
      const unsigned level = title_ ? 2 : node.attribute("text:outline-level").as_uint(1);
      out_.heading(static_cast<std::uint8_t>(std::clamp(level, 1U, 6U)), text_, place_);
    } else {
      out_.add(items_ > 0 ? Block::Kind::kListItem : Block::Kind::kParagraph, text_, place_);
    }
    text_.clear();
  }

  void end_cell(const pugi::xml_node& node) {
    in_cell_ = false;
    const unsigned times =
        std::clamp(node.attribute("table:number-columns-repeated").as_uint(1), 1U, kRepeatedMax);
    for (unsigned i = 0; i < times; ++i) cells_.push_back(text_);
    text_.clear();
  }

  Document& document_;
  BlockWriter out_;
  std::string text_;
  std::vector<std::string> cells_;
  std::uint32_t place_ = 0;  ///< Slide.
  int paragraphs_ = 0, items_ = 0, tables_ = 0;
  bool title_ = false, in_cell_ = false;
};

void read_facts(const Parts& parts, Document& out) {
  const auto part = parts.find("meta.xml");
  pugi::xml_document xml;
  if (part == parts.end() || !xml::parse(part->second, xml)) return;
  const pugi::xml_node meta = xml::child(xml.document_element(), "meta");
  const auto value = [&](std::string_view name) {
    const std::string text = xml::text_of(xml::child(meta, name));
    return std::string(text::truncate(clean_line(text), kFieldBytesMax));
  };
  out.title = value("title");
  out.author = value("initial-creator");
  if (out.author.empty()) out.author = value("creator");
  out.created = value("creation-date").substr(0, kDayBytes);
}

}  // namespace

Status read_odf(const Parts& parts, Document& out) {
  const auto manifest = parts.find("META-INF/manifest.xml");
  if (manifest != parts.end() && manifest->second.find("encryption-data") != std::string::npos)
    return make_error(ErrorCode::kUnsupported, "encrypted: it needs a password");
  const auto part = parts.find("content.xml");
  if (part == parts.end())
    return make_error(ErrorCode::kCorruptData, "not such a file, in spite of its name");
  read_facts(parts, out);
  pugi::xml_document xml;
  KNAP_CHECK_OK(xml::parse(part->second, xml));
  BodyReader(out).read(xml::child(xml.document_element(), "body"));
  return {};
}

}  // namespace knap::extract
