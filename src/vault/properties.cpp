// What Obsidian makes of some properties: title, aliases, tags, dates, language, links.
#include <algorithm>
#include <array>

#include "front_matter.hpp"
#include "knap/base/text.hpp"
#include "link_syntax.hpp"

namespace knap::vault {
namespace {

constexpr std::size_t kAliasesMax = 1'000;

std::string lower(std::string_view name) {
  std::string out(name);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return out;
}

/// Text of a scalar as written, numbers without a needless fraction.
std::string scalar_text(const Property::Scalar& scalar) {
  if (const auto* text = std::get_if<std::string>(&scalar)) return *text;
  if (const auto* number = std::get_if<double>(&scalar)) {
    std::string text = std::to_string(*number);
    text.erase(text.find_last_not_of('0') + 1);
    if (text.ends_with('.')) text.pop_back();
    return text;
  }
  if (const auto* date = std::get_if<DateTime>(&scalar)) {
    std::array<char, 16> buffer{};
    const int length = std::snprintf(buffer.data(), buffer.size(), "%04d-%02d-%02d", date->year,
                                     date->month, date->day);
    return std::string(buffer.data(), static_cast<std::size_t>(std::clamp(length, 0, 15)));
  }
  if (const auto* flag = std::get_if<bool>(&scalar)) return *flag ? "true" : "false";
  return {};
}

void add_tag(std::string_view name, std::uint32_t line, Note& note) {
  name = text::trim(name);
  while (name.starts_with('#')) name.remove_prefix(1);
  while (name.ends_with('/')) name.remove_suffix(1);
  // Obsidian takes no tag of digits only.
  if (name.empty() || name.find_first_not_of("0123456789") == std::string_view::npos) return;
  note.tags.push_back({.name = std::string(name), .line = line});
}

void add_tags(const Property& property, std::uint32_t line, Note& note) {
  for (const Property::Scalar& value : property.values) {
    const std::string text = scalar_text(value);
    if (property.is_list) {
      add_tag(text, line, note);
      continue;
    }
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find_first_of(", \t\n", begin), text.size());
      add_tag(std::string_view(text).substr(begin, end - begin), line, note);
      begin = end + 1;
    }
  }
}

void add_alias(std::string_view alias, Note& note) {
  alias = text::trim(alias);
  if (!alias.empty() && note.aliases.size() < kAliasesMax) note.aliases.emplace_back(alias);
}

void add_aliases(const Property& property, Note& note) {
  for (const Property::Scalar& value : property.values) {
    const std::string text = scalar_text(value);
    if (property.is_list) {
      add_alias(text, note);
      continue;
    }
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t end = std::min(text.find(',', begin), text.size());
      add_alias(std::string_view(text).substr(begin, end - begin), note);
      begin = end + 1;
    }
  }
}

std::string language_code(const Property& property) {
  if (property.values.empty()) return {};
  const std::string text = lower(scalar_text(property.values[0]));
  const bool code =
      text.size() >= 2 &&
      std::all_of(text.begin(), text.begin() + 2, [](char c) { return c >= 'a' && c <= 'z'; }) &&
      (text.size() == 2 || text[2] == '-' || text[2] == '_');
  return code ? text.substr(0, 2) : std::string();
}

}  // namespace

void apply_front_matter(FrontMatter front_matter, Note& note) {
  bool created_exact = false;
  for (std::size_t i = 0; i < front_matter.properties.size(); ++i) {
    const Property& property = front_matter.properties[i];
    const std::uint32_t line = front_matter.lines[i];
    const std::string name = lower(property.name);
    if (name == "tags" || name == "tag") {
      add_tags(property, line, note);
    } else if (name == "aliases" || name == "alias") {
      add_aliases(property, note);
    } else if (name == "title" && !property.is_list && !property.values.empty()) {
      note.title = std::string(text::trim(scalar_text(property.values[0])));
    } else if (name == "lang" || name == "language") {
      if (const std::string code = language_code(property); !code.empty()) note.language = code;
    } else if (name == "created" || name == "date" || name == "date created" ||
               name == "date_created") {
      const auto* date =
          property.values.empty() ? nullptr : std::get_if<DateTime>(&property.values[0]);
      if (date != nullptr && !created_exact) {
        note.created = *date;
        created_exact = name != "date";
      }
    }
    for (const Property::Scalar& value : property.values) {
      if (const auto* text = std::get_if<std::string>(&value))
        collect_property_links(*text, line, note.links);
    }
  }
  note.properties = std::move(front_matter.properties);
}

}  // namespace knap::vault
