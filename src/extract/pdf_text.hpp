#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "knap/extract/document.hpp"
#include "pdf_page.hpp"

namespace knap::extract {

/// An entry of a PDF's table of contents.
struct OutlineItem {
  std::string title;
  std::uint8_t level = 1;  ///< 1-6
  std::uint32_t page = 0;  ///< 0: the file does not say.
};

/// Reads the outline at the end of what `pdftohtml -xml` writes. At most kOutlineMax entries;
/// nothing where there is none or it is damaged.
std::vector<OutlineItem> read_outline(std::string_view xml);
inline constexpr std::size_t kOutlineMax = 10'000;

/// What `pdfinfo -isodates` says.
struct PdfFacts {
  std::string title, author, created;
  std::uint32_t pages = 0;
};
PdfFacts read_facts(std::string_view text);

/// Takes away lines at the top and bottom that the neighbouring pages have at the same height, page
/// numbers aside.
void drop_running_lines(std::vector<Page>& pages);

/// Turns pages into blocks: paragraphs with their hyphenation undone, rows of tables, list items,
/// headings by the outline or, where there is none, by size.
/// @param pages  without running lines
void add_blocks(const std::vector<Page>& pages, const std::vector<OutlineItem>& outline,
                Document& document);

}  // namespace knap::extract
