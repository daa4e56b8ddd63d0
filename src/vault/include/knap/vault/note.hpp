#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace knap::vault {

/// Lines of a file: 1-based, inclusive, first <= last.
struct LineRange {
  std::uint32_t first = 1;
  std::uint32_t last = 1;
  bool operator==(const LineRange&) const = default;
};

enum class FileType {
  kMarkdown,
  kCanvas,
  kBase,
  kExcalidraw,
  kPdf,
  kAudio,
  kVideo,
  kImage,
  kWeb,
  kOther,
  kOffice,  ///< Letters, slides, sheets.
  kText,    ///< Plain text.
  kBook
};
std::string_view to_string(
    FileType type);  ///< "md", "canvas", "base", "excalidraw", "pdf", "audio", ...

/// A calendar date or a local date and time, as Obsidian keeps them (no time zone).
struct DateTime {
  std::int16_t year = 0;
  std::uint8_t month = 1, day = 1, hour = 0, minute = 0, second = 0;
  bool has_time = false;
  auto operator<=>(const DateTime&) const = default;
};

/// A front matter value with Obsidian's property types. Lists hold scalars; nested maps are kept as
/// their YAML text.
struct Property {
  using Scalar = std::variant<std::monostate, bool, double, DateTime, std::string>;
  std::string name;  ///< As written.
  std::vector<Scalar>
      values;  ///< One for a scalar, any number for a list, one monostate for an empty value.
  bool is_list = false;
};

struct Heading {
  std::uint8_t level = 1;  ///< 1-6
  std::string text;        ///< Plain text, without marks and links.
  std::uint32_t line = 1;
};

/// A link to a file of the vault. Web addresses are no links here.
struct Link {
  enum class Kind { kWikilink, kEmbed, kMarkdown, kMarkdownEmbed, kFrontMatter, kCanvasFile };
  Kind kind = Kind::kWikilink;
  /// Link path as written, percent-decoded for Markdown links; empty: this note.
  std::string target;
  std::vector<std::string> heading;  ///< "#A#B" -> {"A", "B"}
  std::string block;                 ///< Without "^".
  std::string alias;
  std::uint32_t line = 1;
};

struct Tag {
  std::string name;  ///< Without '#', as written: "a/b".
  std::uint32_t line = 1;
};

struct Task {
  char32_t state = U' ';  ///< The character in the brackets; 'x' and 'X' are done.
  std::string text;       ///< Without marks and dates.
  /// In the notation of Tasks or of Dataview.
  std::optional<DateTime> due, scheduled, start, done, created, cancelled;
  std::string recurrence;
  std::uint32_t line = 1;
};

/// A stretch of a note that search finds and answers quote.
struct Passage {
  enum class Kind { kProse, kList, kTable, kCode, kCallout, kMath, kCard };
  Kind kind = Kind::kProse;
  std::vector<std::string> headings;  ///< Plain text, outermost first.
  LineRange lines;
  /// Of a document that is no note: the page or slide it stands on, from 1, or the second it is
  /// spoken at. 0: none.
  std::uint32_t place = 0;
  std::string block;  ///< Id of the first block id in it, without "^"; may be empty.
  /// Verbatim lines of the file (UTF-8 repaired, CR removed), joined by '\n'. Of a line too long
  /// for one passage: this passage's part of it. Of a canvas card: its own text, decoded.
  std::string text;
  /// What a reader sees: marks, link targets, comments, HTML tags removed. Searched and embedded.
  /// Never empty. Heading lines stand in `headings` and not here, unless there is nothing below
  /// them; later parts of a table repeat its head.
  std::string plain;
};

/// One file as Knap understands it.
struct Note {
  FileType type = FileType::kMarkdown;
  std::string title;  ///< Property "title", else the first level 1 heading that opens the note,
                      ///< else the file name.
  std::string name;   ///< File name without extension: what links use.
  std::vector<std::string> aliases;
  /// Front matter and body, as written, doubles removed by case-folded name.
  std::vector<Tag> tags;
  std::vector<Property> properties;
  std::vector<Heading> headings;
  std::vector<Link> links;
  std::vector<Task> tasks;
  std::map<std::string, std::uint32_t> blocks;  ///< Block id -> line.
  std::vector<Passage> passages;
  std::optional<DateTime> daily;    ///< The date in the name of a daily note.
  std::optional<DateTime> created;  ///< Property created/date, where present.
  std::string
      language;  ///< ISO 639-1 by a cheap guess over the text, or property "lang"; empty: unknown.
  std::vector<std::string>
      warnings;  ///< e.g. "front matter is not valid YAML (line 3): read as text". No note text.
};

}  // namespace knap::vault
