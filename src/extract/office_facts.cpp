#include <array>

#include "knap/base/text.hpp"
#include "office.hpp"
#include "xml.hpp"

namespace knap::extract {
namespace {

constexpr std::size_t kFieldBytesMax = 500;
constexpr std::size_t kDayBytes = 10;  // "2024-01-03T09:38:26Z": the day is what files agree on

/// "ppt/slides/slide1.xml" and "../media/x" -> "ppt/media/x".
std::string resolve(std::string_view part, std::string_view target) {
  if (target.starts_with('/')) return std::string(target.substr(1));
  const std::size_t slash = part.rfind('/');
  std::string folder(slash == std::string_view::npos ? std::string_view() : part.substr(0, slash));
  while (target.starts_with("../")) {
    target.remove_prefix(3);
    const std::size_t up = folder.rfind('/');
    folder.resize(up == std::string::npos ? 0 : up);
  }
  return folder.empty() ? std::string(target) : folder + "/" + std::string(target);
}

}  // namespace

void read_core_facts(const Parts& parts, Document& out) {
  const auto part = parts.find("docProps/core.xml");
  pugi::xml_document xml;
  if (part == parts.end() || !xml::parse(part->second, xml)) return;
  for (pugi::xml_node at = xml.document_element().first_child(); at; at = at.next_sibling()) {
    const std::string_view name = xml::local(at);
    const auto value = [&] {
      return std::string(text::truncate(clean_line(xml::text_of(at)), kFieldBytesMax));
    };
    if (name == "title") out.title = value();
    if (name == "creator") out.author = value();
    if (name == "created") out.created = value().substr(0, kDayBytes);
  }
}

std::map<std::string, std::string, std::less<>> read_relations(const Parts& parts,
                                                               std::string_view part) {
  std::map<std::string, std::string, std::less<>> out;
  const std::size_t slash = part.rfind('/');
  const std::size_t name = slash == std::string_view::npos ? 0 : slash + 1;
  const std::string file =
      std::string(part.substr(0, name)) + "_rels/" + std::string(part.substr(name)) + ".rels";
  const auto found = parts.find(file);
  pugi::xml_document xml;
  if (found == parts.end() || !xml::parse(found->second, xml)) return out;
  for (pugi::xml_node at = xml.document_element().first_child(); at; at = at.next_sibling()) {
    if (xml::attribute(at, "TargetMode") == "External") continue;
    out.insert_or_assign(std::string(xml::attribute(at, "Id")),
                         resolve(part, xml::attribute(at, "Target")));
  }
  return out;
}

std::string from_windows_1252(std::string_view bytes) {
  // 0x80 to 0x9F; the others are those of Unicode. 0: not defined.
  static constexpr std::array<char16_t, 32> kUpper{
      0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
      0x2039, 0x0152, 0,      0x017D, 0,      0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
      0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};
  std::string out;
  out.reserve(bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    char32_t value = byte;
    if (byte >= 0x80 && byte < 0xA0)
      value = kUpper[byte - 0x80] == 0 ? 0xFFFD : kUpper[byte - 0x80];
    text::append(out, value);
  }
  return out;
}

std::string to_utf8(std::string_view bytes) {
  if (bytes.starts_with("\xEF\xBB\xBF")) return text::repair_utf8(bytes.substr(3));
  const bool little = bytes.starts_with("\xFF\xFE");
  if (little || bytes.starts_with("\xFE\xFF")) {
    std::string out;
    const auto unit = [&](std::size_t at) {
      const auto a = static_cast<unsigned char>(bytes[at]);
      const auto b = static_cast<unsigned char>(bytes[at + 1]);
      return static_cast<char32_t>(little ? b << 8 | a : a << 8 | b);
    };
    for (std::size_t at = 2; at + 1 < bytes.size(); at += 2) {
      char32_t value = unit(at);
      if (value >= 0xD800 && value < 0xDC00 && at + 3 < bytes.size()) {
        const char32_t low = unit(at + 2);
        if (low >= 0xDC00 && low < 0xE000) {
          value = 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00);
          at += 2;
        }
      }
      text::append(out, value >= 0xD800 && value < 0xE000 ? 0xFFFD : value);
    }
    return out;
  }
  return text::is_valid_utf8(bytes) ? std::string(bytes) : from_windows_1252(bytes);
}

}  // namespace knap::extract
