#include "knap/vault/parse.hpp"

#include <algorithm>
#include <unordered_set>

#include <fmt/format.h>

#include "block_scanner.hpp"
#include "front_matter.hpp"
#include "inline_scanner.hpp"
#include "knap/base/text.hpp"
#include "parts.hpp"
#include "passages.hpp"

namespace knap::vault {
namespace {

constexpr std::size_t kSniffBytes = 8192;
constexpr std::size_t kBytesMax = 0x7FFF'FFFF;  ///< Offsets into a file are 32-bit.

/// Why these bytes are no text; empty: they are.
std::string_view binary_reason(std::string_view bytes) {
  if (bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF"))
    return "UTF-16 text: save it as UTF-8";
  const std::string_view head = bytes.substr(0, kSniffBytes);
  if (head.find('\0') != std::string_view::npos) return "binary content (NUL bytes)";
  const auto controls = std::count_if(head.begin(), head.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && (byte < 0x09 || byte > 0x0D) && byte != 0x1B) || byte == 0x7F;
  });
  // A tenth of control characters: no editor writes that.
  if (head.size() > 64 && static_cast<std::size_t>(controls) * 10 > head.size())
    return "binary content (control characters)";
  return {};
}

bool has_property(const std::vector<Property>& properties, std::string_view name) {
  return std::any_of(properties.begin(), properties.end(),
                     [&](const Property& p) { return p.name == name; });
}

void remove_double_tags(std::vector<Tag>& tags) {
  if (tags.size() < 2) return;
  std::unordered_set<std::string> seen;
  std::erase_if(tags,
                [&](const Tag& tag) { return !seen.insert(text::fold_case(tag.name)).second; });
}

/// Reads the front matter into the note; returns the line after it.
std::size_t read_properties(const Document& document, const ParseOptions& options, Note& note,
                            std::size_t& broken_end) {
  const auto range = find_front_matter(document);
  if (!range) return 0;
  std::string yaml;
  for (std::size_t i = 1; i < range->close; ++i) {
    yaml += document.lines[i].text;
    yaml += '\n';
  }
  FrontMatter front_matter = read_front_matter(yaml, document.number(1), options.max_nesting);
  if (front_matter.error.empty()) {
    apply_front_matter(std::move(front_matter), note);
  } else {
    note.warnings.push_back("front matter is " + front_matter.error + ": read as text");
    broken_end = range->close;
  }
  return range->close + 1;
}

}  // namespace

void read_markdown(std::string_view text, const ParseOptions& options, Note& note) {
  Document document;
  split_lines(text, document);
  if (document.truncated)
    note.warnings.push_back(fmt::format("more than {} lines: the rest is not indexed", kLinesMax));
  document.plain.reserve(text.size());

  std::size_t broken_end = 0;
  const std::size_t body = read_properties(document, options, note, broken_end);
  if (broken_end > 1) {
    for (std::size_t i = 1; i < broken_end; ++i) document.lines[i].kind = LineKind::kCode;
    Note ignored;
    InlineScanner(document, ignored).scan(1, broken_end);
    build_plain_passages(document, 1, broken_end, Passage::Kind::kProse, options, note);
  }
  std::vector<LineSpan> spans = {{.begin = body, .end = document.lines.size()}};
  if (note.type == FileType::kExcalidraw || has_property(note.properties, "excalidraw-plugin")) {
    note.type = FileType::kExcalidraw;
    spans = excalidraw_text_lines(document, body);
  }
  BlockScanner blocks(document, options.max_nesting);
  for (const LineSpan& span : spans) blocks.scan(span.begin, span.end);
  InlineScanner inlines(document, note);
  for (const LineSpan& span : spans) {
    inlines.scan(span.begin, span.end);
    collect_tasks(document, span.begin, span.end, note);
  }
  build_passages(document, options, {}, note);
  if (note.title.empty() && !document.blocks.empty() && !note.headings.empty()) {
    const auto opening = std::find_if(document.blocks.begin(), document.blocks.end(),
                                      [](const Block& b) { return b.kind != BlockKind::kHidden; });
    if (opening != document.blocks.end() && opening->kind == BlockKind::kHeading &&
        opening->level == 1)
      note.title = note.headings[0].text;
  }
  if (note.language.empty()) note.language = guess_language(document.plain);
}

void read_base(std::string_view text, const ParseOptions& options, Note& note) {
  Document document;
  split_lines(text, document);
  for (Line& line : document.lines) line.kind = LineKind::kCode;
  InlineScanner(document, note).scan(0, document.lines.size());
  build_plain_passages(document, 0, document.lines.size(), Passage::Kind::kCode, options, note);
}

Result<Note> parse(std::string_view path, std::string_view bytes, const ParseOptions& options) {
  Note note{.type = file_type(path)};
  const std::string_view file = path.substr(path.rfind('/') + 1);
  const std::size_t dot = file.rfind('.');
  note.name = std::string(dot == std::string_view::npos || dot == 0 ? file : file.substr(0, dot));
  note.daily = daily_date(note.name);
  const bool textual = note.type == FileType::kMarkdown || note.type == FileType::kCanvas ||
                       note.type == FileType::kBase || note.type == FileType::kExcalidraw ||
                       (note.type == FileType::kWeb && path.ends_with(".md"));
  if (textual) {
    if (bytes.size() > kBytesMax) return make_error(ErrorCode::kUnsupported, "larger than 2 GB");
    if (const std::string_view reason = binary_reason(bytes); !reason.empty())
      return make_error(ErrorCode::kUnsupported, std::string(reason));
    if (bytes.starts_with("\xEF\xBB\xBF")) bytes.remove_prefix(3);
    std::string repaired;
    if (!text::is_valid_utf8(bytes)) {
      repaired = text::repair_utf8(bytes);
      bytes = repaired;
      note.warnings.emplace_back("not valid UTF-8: the broken bytes are read as U+FFFD");
    }
    switch (note.type) {
      case FileType::kCanvas: KNAP_CHECK_OK(read_canvas(bytes, options, note)); break;
      case FileType::kBase: read_base(bytes, options, note); break;
      case FileType::kExcalidraw:
        if (const std::size_t first = bytes.find_first_not_of(" \t\r\n");
            first != std::string_view::npos && bytes[first] == '{') {
          KNAP_CHECK_OK(read_excalidraw_json(bytes, options, note));
          break;
        }
        [[fallthrough]];
      default: read_markdown(bytes, options, note); break;
    }
    remove_double_tags(note.tags);
  }
  if (note.title.empty()) note.title = note.name;
  return note;
}

}  // namespace knap::vault
