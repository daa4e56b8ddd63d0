#include <string>
#include <vector>

#include "blocks.hpp"
#include "html_charset.hpp"
#include "html_markdown.hpp"
#include "html_tree.hpp"
#include "knap/base/text.hpp"
#include "office.hpp"
#include "xml.hpp"

namespace knap::extract {
namespace {

constexpr std::size_t kChaptersMax = 5'000;
constexpr std::size_t kFieldBytesMax = 500;
constexpr std::size_t kDayBytes = 10;

/// Fonts may be garbled without the text being so.
bool is_protected(const Parts& parts) {
  const auto part = parts.find("META-INF/encryption.xml");
  pugi::xml_document xml;
  if (part == parts.end() || !xml::parse(part->second, xml)) return false;
  bool found = false;
  xml::walk(xml.document_element(), [&](const pugi::xml_node& node) {
    if (xml::local(node) != "EncryptedData") return true;
    const std::string_view algorithm =
        xml::attribute(xml::child(node, "EncryptionMethod"), "Algorithm");
    const bool font = algorithm == "http://www.idpf.org/2008/embedding" ||
                      algorithm == "http://ns.adobe.com/pdf/enc#RC";
    found = found || !font;
    return false;
  });
  return found;
}

std::string percent_decoded(std::string_view text) {
  const auto value = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && value(text[i + 1]) >= 0 &&
        value(text[i + 2]) >= 0) {
      out += static_cast<char>(value(text[i + 1]) * 16 + value(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

/// The part that lists all others.
std::string package_of(const Parts& parts) {
  const auto part = parts.find("META-INF/container.xml");
  pugi::xml_document xml;
  std::string path;
  if (part == parts.end() || !xml::parse(part->second, xml)) return path;
  xml::walk(xml.document_element(), [&](const pugi::xml_node& node) {
    if (path.empty() && xml::local(node) == "rootfile") path = xml::attribute(node, "full-path");
    return true;
  });
  return path;
}

void read_facts(const pugi::xml_node& metadata, Document& out) {
  for (pugi::xml_node at = metadata.first_child(); at; at = at.next_sibling()) {
    const std::string_view name = xml::local(at);
    if (name != "title" && name != "creator" && name != "date") continue;
    const std::string line = clean_line(xml::text_of(at));
    const std::string value(text::truncate(line, kFieldBytesMax));
    if (name == "title" && out.title.empty()) out.title = value;
    if (name == "date" && out.created.empty()) out.created = value.substr(0, kDayBytes);
    if (name == "creator" && !value.empty() && out.author.size() + value.size() < kFieldBytesMax)
      out.author += (out.author.empty() ? "" : ", ") + value;
  }
}

/// Names of the chapters' parts, in the order of reading.
std::vector<std::string> chapters_of(const pugi::xml_node& package, std::string_view folder) {
  std::map<std::string, std::string, std::less<>> items;
  const pugi::xml_node manifest = xml::child(package, "manifest");
  for (pugi::xml_node at = manifest.first_child(); at; at = at.next_sibling())
    items.insert_or_assign(std::string(xml::attribute(at, "id")),
                           std::string(folder) + percent_decoded(xml::attribute(at, "href")));
  std::vector<std::string> out;
  const pugi::xml_node spine = xml::child(package, "spine");
  for (pugi::xml_node at = spine.first_child(); at && out.size() < kChaptersMax;
       at = at.next_sibling()) {
    const auto item = items.find(xml::attribute(at, "idref"));
    if (item != items.end() && xml::attribute(at, "linear") != "no") out.push_back(item->second);
  }
  return out;
}

bool read_chapter(const Parts& parts, const std::string& name, BlockWriter& out) {
  const auto part = parts.find(name);
  if (part == parts.end()) return false;
  const std::string utf8 = html::to_utf8(part->second, {});
  const auto tree = html::Tree::parse(utf8);
  if (!tree) return false;
  for (const Block& block : html::write_markdown(*tree, tree->body(), {}).blocks)
    out.add(block.kind, block.text, 0, block.level);
  return true;
}

}  // namespace

Status read_epub(const Parts& parts, Document& out) {
  const std::string path = package_of(parts);
  const auto part = parts.find(path);
  if (path.empty() || part == parts.end())
    return make_error(ErrorCode::kCorruptData, "not such a file, in spite of its name");
  if (is_protected(parts))
    return make_error(ErrorCode::kUnsupported, "protected: only its seller's programs open it");
  pugi::xml_document xml;
  KNAP_CHECK_OK(xml::parse(part->second, xml));
  read_facts(xml::child(xml.document_element(), "metadata"), out);
  BlockWriter blocks(out);
  std::size_t number = 0;
  for (const std::string& name :
       chapters_of(xml.document_element(), path.substr(0, path.rfind('/') + 1))) {
    ++number;
    if (blocks.full()) break;
    if (!read_chapter(parts, name, blocks) && out.warnings.size() < kWarningsMax)
      out.warnings.push_back("part " + std::to_string(number) + " could not be read");
  }
  return {};
}

}  // namespace knap::extract
