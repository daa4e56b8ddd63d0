#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "block_scanner.hpp"
#include "inline_scanner.hpp"
#include "json_places.hpp"
#include "knap/base/text.hpp"
#include "link_syntax.hpp"
#include "parts.hpp"
#include "passages.hpp"

namespace knap::vault {
namespace {

namespace json = boost::json;

constexpr std::size_t kCardsMax = 100'000;
constexpr std::size_t kGroupsMax = 256;  ///< Each card is compared with each group.

Result<json::value> parse_json(std::string_view text, const ParseOptions& options) {
  json::parse_options limits;
  limits.max_depth = options.max_nesting;
  json::error_code error;
  json::value value;
  try {
    value = json::parse(json::string_view(text.data(), text.size()), error, {}, limits);
  } catch (const std::exception&) {
    return make_error(ErrorCode::kCorruptData, "the JSON is too large");
  }
  if (error)
    return make_error(ErrorCode::kCorruptData, fmt::format("not valid JSON ({})", error.message()));
  return value;
}

std::string_view string_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(json::string_view(key.data(), key.size()));
  if (value == nullptr || !value->is_string()) return {};
  const json::string& text = value->get_string();
  return {text.data(), text.size()};
}

double number_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(json::string_view(key.data(), key.size()));
  if (value == nullptr || !value->is_number()) return 0;
  return value->is_double()  ? value->get_double()
         : value->is_int64() ? static_cast<double>(value->get_int64())
                             : static_cast<double>(value->get_uint64());
}

struct Group {
  std::string label;
  double x = 0, y = 0, width = 0, height = 0;
  bool holds(double px, double py) const {
    return px >= x && px <= x + width && py >= y && py <= y + height;
  }
};

/// A card's text as a small note of its own, all of it on one line of the file.
void add_card(std::string_view text, std::uint32_t line, const std::vector<std::string>& headings,
              const ParseOptions& options, Note& note) {
  Document document;
  document.first_line_number = line;
  document.one_line_number = true;
  split_lines(text, document);
  BlockScanner(document, options.max_nesting).scan(0, document.lines.size());
  InlineScanner(document, note).scan(0, document.lines.size());
  collect_tasks(document, 0, document.lines.size(), note);
  const std::size_t before = note.passages.size();
  build_passages(document, options, headings, note);
  for (std::size_t i = before; i < note.passages.size(); ++i)
    note.passages[i].kind = Passage::Kind::kCard;
}

void add_label(std::string_view label, std::uint32_t line, const ParseOptions& options,
               Note& note) {
  label = text::trim(label);
  if (label.empty() || note.passages.size() >= options.max_passages) return;
  Passage passage{.kind = Passage::Kind::kCard, .lines = {.first = line, .last = line}};
  passage.text = passage.plain = std::string(label);
  note.passages.push_back(std::move(passage));
}

void add_file(const json::object& node, std::uint32_t line, Note& note) {
  const std::string_view file = string_of(node, "file");
  if (file.empty()) return;
  Link link;
  split_link_path(std::string(string_of(node, "subpath")), link);
  link.kind = Link::Kind::kCanvasFile;
  link.target = std::string(file);
  link.line = line;
  note.links.push_back(std::move(link));
}

std::vector<Group> groups_of(const json::array& nodes) {
  std::vector<Group> groups;
  for (const json::value& value : nodes) {
    if (groups.size() == kGroupsMax) break;
    if (!value.is_object() || string_of(value.get_object(), "type") != "group") continue;
    const json::object& node = value.get_object();
    groups.push_back({.label = std::string(text::trim(string_of(node, "label"))),
                      .x = number_of(node, "x"),
                      .y = number_of(node, "y"),
                      .width = number_of(node, "width"),
                      .height = number_of(node, "height")});
  }
  // Outer groups first, so that they lead the heading path.
  std::sort(groups.begin(), groups.end(),
            [](const Group& a, const Group& b) { return a.width * a.height > b.width * b.height; });
  std::erase_if(groups, [](const Group& g) { return g.label.empty(); });
  return groups;
}

const json::array* array_of(const json::value& root, std::string_view key) {
  if (!root.is_object()) return nullptr;
  const json::value* value =
      root.get_object().if_contains(json::string_view(key.data(), key.size()));
  return value != nullptr && value->is_array() ? &value->get_array() : nullptr;
}

/// Calls `visit(object, line of its field `key` or of the object itself)` for the first kCardsMax
/// elements.
template <typename Visit>
void each_object(std::string_view text, const json::value& root, std::string_view array,
                 std::string_view key, Note& note, const Visit& visit) {
  const json::array* elements = array_of(root, array);
  if (elements == nullptr) return;
  const std::vector<std::uint32_t> lines = field_lines(text, array, key, kCardsMax);
  for (std::size_t i = 0; i < elements->size(); ++i) {
    if (i >= lines.size()) {
      note.warnings.push_back(
          fmt::format("more than {} {}: the rest is not indexed", kCardsMax, array));
      return;
    }
    if ((*elements)[i].is_object()) visit((*elements)[i].get_object(), lines[i]);
  }
}

}  // namespace

Status read_canvas(std::string_view text, const ParseOptions& options, Note& note) {
  // Obsidian makes a new canvas as an empty file.
  if (text::trim(text).empty()) return {};
  KNAP_TRY(const json::value root, parse_json(text, options));
  if (!root.is_object()) return make_error(ErrorCode::kCorruptData, "not a canvas: no JSON object");
  const json::array* nodes = array_of(root, "nodes");
  const std::vector<Group> groups = nodes == nullptr ? std::vector<Group>() : groups_of(*nodes);
  each_object(text, root, "nodes", "text", note, [&](const json::object& node, std::uint32_t line) {
    const std::string_view type = string_of(node, "type");
    if (type == "file") {
      add_file(node, line, note);
    } else if (type == "group") {
      add_label(string_of(node, "label"), line, options, note);
    } else if (type == "link") {
      add_label(string_of(node, "url"), line, options, note);
    } else {
      const double x = number_of(node, "x") + number_of(node, "width") / 2;
      const double y = number_of(node, "y") + number_of(node, "height") / 2;
      std::vector<std::string> headings;
      for (const Group& group : groups) {
        if (group.holds(x, y) && headings.size() < 6) headings.push_back(group.label);
      }
      add_card(string_of(node, "text"), line, headings, options, note);
    }
  });
  each_object(text, root, "edges", "label", note,
              [&](const json::object& edge, std::uint32_t line) {
                add_label(string_of(edge, "label"), line, options, note);
              });
  std::string sample;
  for (const Passage& passage : note.passages) {
    if (sample.size() > 4096) break;
    sample += passage.plain + "\n";
  }
  note.language = guess_language(sample);
  return {};
}

Status read_excalidraw_json(std::string_view text, const ParseOptions& options, Note& note) {
  KNAP_TRY(const json::value root, parse_json(text, options));
  std::string sample;
  each_object(text, root, "elements", "text", note,
              [&](const json::object& element, std::uint32_t line) {
                const json::value* deleted = element.if_contains("isDeleted");
                if (string_of(element, "type") != "text" ||
                    (deleted != nullptr && deleted->is_bool() && deleted->get_bool()))
                  return;
                const std::string_view words = string_of(element, "text");
                if (sample.size() < 4096) sample += std::string(words) + "\n";
                add_label(words, line, options, note);
              });
  note.language = guess_language(sample);
  return {};
}

}  // namespace knap::vault
