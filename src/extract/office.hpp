#pragma once

#include <string_view>

#include "archive.hpp"
#include "knap/base/result.hpp"
#include "knap/extract/document.hpp"
#include "knap/extract/extract.hpp"

/// Readers of office files and books, out of their unpacked parts. They run in the sandbox, in the
/// helper program: hostile bytes cost it memory or a crash at worst. Errors of all: kCorruptData,
/// kUnsupported (no text), kResourceExhausted.
namespace knap::extract {

/// Any of them, by format; not kPdf.
Result<Document> read_office(Format format, std::string_view bytes);

Status read_docx(const Parts& parts, Document& out);
Status read_pptx(const Parts& parts, Document& out);
Status read_xlsx(const Parts& parts, Document& out);
Status read_odf(const Parts& parts, Document& out);  ///< Text, slides and sheets.
Status read_epub(const Parts& parts, Document& out);
Status read_rtf(std::string_view bytes, Document& out);
Status read_csv(std::string_view bytes, Document& out);
Status read_text(std::string_view bytes, Document& out);

/// Title, author and date of an Office Open XML file.
void read_core_facts(const Parts& parts, Document& out);
/// Targets by id of a part's relations, as names of parts.
std::map<std::string, std::string, std::less<>> read_relations(const Parts& parts,
                                                               std::string_view part);
/// Bytes as UTF-8: by their mark, else as they are, else as Windows-1252.
std::string to_utf8(std::string_view bytes);
std::string from_windows_1252(std::string_view bytes);

}  // namespace knap::extract
