#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "document.hpp"
#include "knap/base/result.hpp"
#include "knap/vault/note.hpp"
#include "knap/vault/parse.hpp"

/// The readers that parse() is put together from. `text` is valid UTF-8 without BOM.
namespace knap::vault {

void read_markdown(std::string_view text, const ParseOptions& options, Note& note);

/// JSON Canvas: text cards, labels of groups and edges become cards, file cards links. Errors:
/// kCorruptData.
Status read_canvas(std::string_view text, const ParseOptions& options, Note& note);

/// A drawing in JSON (".excalidraw"): its text elements. Errors: kCorruptData.
Status read_excalidraw_json(std::string_view text, const ParseOptions& options, Note& note);

void read_base(std::string_view text, const ParseOptions& options, Note& note);

/// Lines of a drawing kept in Markdown that hold text: all else is drawing data. Ranges of [begin,
/// end).
struct LineSpan {
  std::size_t begin = 0;
  std::size_t end = 0;
};
std::vector<LineSpan> excalidraw_text_lines(const Document& document, std::size_t begin);

/// Appends the tasks among lines [begin, end) of a scanned document.
void collect_tasks(const Document& document, std::size_t begin, std::size_t end, Note& note);

/// ISO 639-1 by script and stop words of at most the first 4 KB; empty: unknown.
std::string guess_language(std::string_view plain);

/// The date that a daily note's name begins with: "2026-01-05", "2026-01-05 Monday", "20260105".
std::optional<DateTime> daily_date(std::string_view name);

}  // namespace knap::vault
