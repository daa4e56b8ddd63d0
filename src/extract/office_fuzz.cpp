#include <cstddef>
#include <cstdint>
#include <string_view>

#include "office.hpp"

/// The first byte chooses the format.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using knap::extract::Format;
  static constexpr Format kFormats[] = {Format::kDocx, Format::kPptx, Format::kXlsx,
                                        Format::kOdf,  Format::kRtf,  Format::kCsv,
                                        Format::kText, Format::kEpub, Format::kHtml};
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Format format = kFormats[data[0] % std::size(kFormats)];
  const auto packed = knap::extract::read_office(format, bytes);
  if (packed) static_cast<void>(knap::extract::decode(knap::extract::encode(*packed)).value());
  // The same bytes as the main part, for what lies behind the ZIP.
  knap::extract::Document out;
  knap::extract::Parts parts;
  for (const char* name :
       {"word/document.xml", "word/styles.xml", "ppt/presentation.xml", "xl/workbook.xml",
        "xl/worksheets/sheet1.xml", "content.xml", "META-INF/container.xml", "a.opf", "a.xhtml"})
    parts[name] = bytes;
  parts["xl/_rels/workbook.xml.rels"] =
      "<R><Relationship Id='a' Target='worksheets/sheet1.xml'/></R>";
  static_cast<void>(knap::extract::read_docx(parts, out).has_value());
  static_cast<void>(knap::extract::read_pptx(parts, out).has_value());
  static_cast<void>(knap::extract::read_xlsx(parts, out).has_value());
  static_cast<void>(knap::extract::read_odf(parts, out).has_value());
  parts["META-INF/container.xml"] = "<c><rootfile full-path='a.opf'/></c>";
  static_cast<void>(knap::extract::read_epub(parts, out).has_value());
  return 0;
}
