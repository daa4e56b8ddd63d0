#include <charconv>
#include <chrono>
#include <cmath>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "blocks.hpp"
#include "office.hpp"
#include "xml.hpp"

namespace knap::extract {
namespace {

constexpr std::size_t kColumnsMax = 16'384;  // of the format
constexpr std::size_t kGapMax = 64;          // empty cells before one that is kept in its place
constexpr std::uint8_t kSheetLevel = 2;
constexpr double kDaysMax = 2'958'465;  // 9999-12-31

/// How a cell's number is meant.
enum class Meaning : std::uint8_t { kNumber, kDate, kTime, kDateTime };

/// By the letters of a format, texts in quotes and brackets aside.
Meaning meaning_of(std::string_view format) {
  bool date = false, time = false;
  char inside = 0;
  for (std::size_t i = 0; i < format.size(); ++i) {
    const char c = format[i];
    if (inside != 0) {
      if (c == inside) inside = 0;
    } else if (c == '"') {
      inside = '"';
    } else if (c == '[') {
      inside = ']';
    } else if (c == '\\') {
      ++i;
    } else if (c == 'y' || c == 'Y' || c == 'd' || c == 'D') {
      date = true;
    } else if (c == 'h' || c == 'H' || c == 's' || c == 'S') {
      time = true;
    }
  }
  if (date && time) return Meaning::kDateTime;
  if (date) return Meaning::kDate;
  return time ? Meaning::kTime : Meaning::kNumber;
}

Meaning meaning_of(unsigned format) {
  if (format == 22) return Meaning::kDateTime;
  if (format >= 14 && format <= 17) return Meaning::kDate;
  if ((format >= 18 && format <= 21) || (format >= 45 && format <= 47)) return Meaning::kTime;
  return Meaning::kNumber;
}

/// Days since 1899-12-30, or 1904-01-01, as people write dates.
std::string as_date(double days, Meaning meaning, bool since_1904) {
  const double whole = std::floor(days);
  const auto seconds = static_cast<int>(std::lround((days - whole) * 86'400)) % 86'400;
  std::string time = fmt::format("{:02}:{:02}", seconds / 3'600, seconds / 60 % 60);
  if (meaning == Meaning::kTime) return time;
  const std::chrono::sys_days epoch =
      since_1904 ? std::chrono::sys_days(std::chrono::year(1904) / 1 / 1)
                 : std::chrono::sys_days(std::chrono::year(1899) / 12 / 30);
  const std::chrono::year_month_day day{epoch + std::chrono::days(static_cast<int>(whole))};
  std::string out =
      fmt::format("{:04}-{:02}-{:02}", static_cast<int>(day.year()),
                  static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()));
  return meaning == Meaning::kDateTime ? out + " " + time : out;
}

std::optional<double> number_of(const std::string& text) {
  double out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(out))
    return std::nullopt;
  return out;
}

/// Text of a string: its runs, without the reading aids of Japanese.
std::string string_of(const pugi::xml_node& node) {
  std::string out;
  xml::walk(node, [&](const pugi::xml_node& at) {
    if (at.type() == pugi::node_element) return xml::local(at) != "rPh";
    if (xml::local(at.parent()) == "t") out += at.value();
    return true;
  });
  return out;
}

class Workbook {
 public:
  Workbook(const Parts& parts, Document& out) : parts_(parts), document_(out), out_(out) {}

  Status read() {
    const auto part = parts_.find("xl/workbook.xml");
    pugi::xml_document xml;
    if (part == parts_.end())
      return make_error(ErrorCode::kCorruptData, "not such a file, in spite of its name");
    KNAP_CHECK_OK(xml::parse(part->second, xml));
    since_1904_ =
        xml::attribute(xml::child(xml.document_element(), "workbookPr"), "date1904") == "1";
    read_strings();
    read_formats();
    const auto relations = read_relations(parts_, part->first);
    const pugi::xml_node sheets = xml::child(xml.document_element(), "sheets");
    for (pugi::xml_node at = sheets.first_child(); at && !out_.full(); at = at.next_sibling()) {
      const std::string_view state = xml::attribute(at, "state");
      const auto target = relations.find(std::string_view(at.attribute("r:id").value()));
      if (target == relations.end() || state == "hidden" || state == "veryHidden") continue;
      out_.heading(kSheetLevel, xml::attribute(at, "name"));
      read_sheet(target->second);
    }
    return {};
  }

 private:
  void read_strings() {
    const auto part = parts_.find("xl/sharedStrings.xml");
    pugi::xml_document xml;
    if (part == parts_.end() || !xml::parse(part->second, xml)) return;
    for (pugi::xml_node at = xml.document_element().first_child(); at; at = at.next_sibling())
      if (xml::local(at) == "si") strings_.push_back(string_of(at));
  }

  void read_formats() {
    const auto part = parts_.find("xl/styles.xml");
    pugi::xml_document xml;
    if (part == parts_.end() || !xml::parse(part->second, xml)) return;
    std::map<unsigned, Meaning> own;
    const pugi::xml_node formats = xml::child(xml.document_element(), "numFmts");
    for (pugi::xml_node at = formats.first_child(); at; at = at.next_sibling())
      own.insert_or_assign(at.attribute("numFmtId").as_uint(),
                           meaning_of(xml::attribute(at, "formatCode")));
    const pugi::xml_node cells = xml::child(xml.document_element(), "cellXfs");
    for (pugi::xml_node at = cells.first_child(); at; at = at.next_sibling()) {
      const unsigned id = at.attribute("numFmtId").as_uint();
      const auto found = own.find(id);
      meanings_.push_back(found == own.end() ? meaning_of(id) : found->second);
    }
  }

  void read_sheet(const std::string& name) {
    const auto part = parts_.find(name);
    pugi::xml_document xml;
    if (part == parts_.end() || !xml::parse(part->second, xml)) {
      if (document_.warnings.size() < kWarningsMax)
        document_.warnings.emplace_back("a sheet could not be read");
      return;
    }
    const pugi::xml_node data = xml::child(xml.document_element(), "sheetData");
    for (pugi::xml_node row = data.first_child(); row && !out_.full(); row = row.next_sibling()) {
      std::vector<std::string> cells;
      for (pugi::xml_node cell = row.first_child(); cell; cell = cell.next_sibling()) {
        const std::size_t column = column_of(xml::attribute(cell, "r"));
        if (column != 0 && column > cells.size() + 1 && column - cells.size() <= kGapMax)
          cells.resize(column - 1);
        if (cells.size() < kColumnsMax) cells.push_back(value_of(cell));
      }
      out_.row(cells);
    }
  }

  /// "AB12" -> 28; 0: none.
  static std::size_t column_of(std::string_view reference) {
    std::size_t column = 0;
    for (const char c : reference) {
      if (c < 'A' || c > 'Z' || column > kColumnsMax) break;
      column = column * 26 + static_cast<std::size_t>(c - 'A' + 1);
    }
    return column > kColumnsMax ? 0 : column;
  }

  std::string value_of(const pugi::xml_node& cell) const {
    const std::string_view type = xml::attribute(cell, "t");
    if (type == "inlineStr") return string_of(xml::child(cell, "is"));
    std::string value = xml::text_of(xml::child(cell, "v"));
    const auto number = number_of(value);
    if (type == "s") {
      const bool known = number && *number >= 0 && *number < static_cast<double>(strings_.size());
      return known ? strings_[static_cast<std::size_t>(*number)] : std::string();
    }
    if (type == "b") return value == "1" ? "TRUE" : "FALSE";
    if (!number || type == "str" || type == "e" || type == "d") return value;
    const std::size_t style = cell.attribute("s").as_uint();
    const Meaning meaning = style < meanings_.size() ? meanings_[style] : Meaning::kNumber;
    if (meaning != Meaning::kNumber && *number >= 0 && *number <= kDaysMax)
      return as_date(*number, meaning, since_1904_);
    // As people wrote it: 0.1 is kept as 0.10000000000000001.
    return fmt::format("{:.12g}", *number);
  }

  const Parts& parts_;
  Document& document_;
  BlockWriter out_;
  std::vector<std::string> strings_;
  std::vector<Meaning> meanings_;  ///< By cell style.
  bool since_1904_ = false;
};

}  // namespace

Status read_xlsx(const Parts& parts, Document& out) {
  read_core_facts(parts, out);
  return Workbook(parts, out).read();
}

}  // namespace knap::extract
