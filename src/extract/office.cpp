#include "office.hpp"

#include "knap/extract/web_page.hpp"

namespace knap::extract {
namespace {

constexpr std::string_view kOldOffice = "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";

bool has_part_of_office(std::string_view name) {
  return name.ends_with(".xml") || name.ends_with(".rels") || name.ends_with(".opf") ||
         name.ends_with(".xhtml") || name.ends_with(".html") || name.ends_with(".htm");
}

Result<Parts> parts_of(std::string_view bytes) {
  // The container of the formats before 2007 holds encrypted files of today's as well.
  if (bytes.starts_with(kOldOffice))
    return make_error(ErrorCode::kUnsupported,
                      "encrypted, or of an office before 2007: neither is read");
  return unpack(bytes, has_part_of_office);
}

Status read_html(std::string_view bytes, Document& out) {
  KNAP_TRY(WebPage page, read_page_here(bytes, {}));
  out = std::move(page.document);
  return {};
}

Status read_into(Format format, std::string_view bytes, Document& out) {
  switch (format) {
    case Format::kRtf: return read_rtf(bytes, out);
    case Format::kCsv: return read_csv(bytes, out);
    case Format::kText: return read_text(bytes, out);
    case Format::kHtml: return read_html(bytes, out);
    case Format::kPdf:
    case Format::kImage:
      return make_error(ErrorCode::kUnsupported, "files of this kind are read elsewhere");
    case Format::kDocx:
    case Format::kPptx:
    case Format::kXlsx:
    case Format::kOdf:
    case Format::kEpub: break;
  }
  KNAP_TRY(const Parts parts, parts_of(bytes));
  switch (format) {
    case Format::kDocx: return read_docx(parts, out);
    case Format::kPptx: return read_pptx(parts, out);
    case Format::kXlsx: return read_xlsx(parts, out);
    case Format::kEpub: return read_epub(parts, out);
    default: return read_odf(parts, out);
  }
}

}  // namespace

Result<Document> read_office(Format format, std::string_view bytes) {
  Document out;
  KNAP_CHECK_OK(read_into(format, bytes, out));
  if (out.blocks.empty()) return make_error(ErrorCode::kUnsupported, "no text in it");
  return out;
}

}  // namespace knap::extract
