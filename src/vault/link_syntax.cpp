#include "link_syntax.hpp"

#include <algorithm>

#include "knap/base/text.hpp"

namespace knap::vault {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

void split_link_path(std::string_view path, Link& link) {
  std::size_t hash = path.find('#');
  link.target = std::string(text::trim(path.substr(0, hash)));
  while (hash != std::string_view::npos) {
    const std::size_t next = path.find('#', hash + 1);
    const std::string_view part = text::trim(path.substr(hash + 1, next - hash - 1));
    if (part.starts_with('^')) {
      link.block = std::string(part.substr(1));
    } else if (!part.empty()) {
      link.heading.emplace_back(part);
    }
    hash = next;
  }
}

Link parse_wikilink(std::string_view inside) {
  Link link;
  const std::size_t pipe = inside.find('|');
  std::string_view path = inside.substr(0, pipe);
  if (pipe != std::string_view::npos) {
    // In a table the pipe is escaped.
    if (path.ends_with('\\')) path.remove_suffix(1);
    link.alias = std::string(text::trim(inside.substr(pipe + 1)));
  }
  split_link_path(path, link);
  return link;
}

std::string link_display(const Link& link) {
  std::string_view name = link.target;
  if (const std::size_t slash = name.rfind('/'); slash != std::string_view::npos)
    name.remove_prefix(slash + 1);
  if (name.ends_with(".md")) name.remove_suffix(3);
  std::string display(name);
  for (const std::string& heading : link.heading) {
    if (!display.empty()) display += " > ";
    display += heading;
  }
  return display;
}

std::string percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      const int high = hex_value(text[i + 1]);
      const int low = hex_value(text[i + 2]);
      if (high >= 0 && low >= 0) {
        out += static_cast<char>(high * 16 + low);
        i += 2;
        continue;
      }
    }
    out += text[i];
  }
  return text::is_valid_utf8(out) ? out : text::repair_utf8(out);
}

bool is_external(std::string_view destination) {
  if (destination.starts_with("//")) return true;
  const std::size_t colon = destination.find(':');
  if (colon == std::string_view::npos || colon < 2) return false;
  return std::all_of(destination.begin(), destination.begin() + static_cast<std::ptrdiff_t>(colon),
                     [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
                     });
}

bool is_image_size(std::string_view alias) {
  if (alias.empty() || alias[0] < '0' || alias[0] > '9') return false;
  return alias.find_first_not_of("0123456789x") == std::string_view::npos;
}

void collect_property_links(std::string_view text, std::uint32_t line, std::vector<Link>& links) {
  for (std::size_t at = text.find("[["); at != std::string_view::npos; at = text.find("[[", at)) {
    const std::size_t close = text.find("]]", at + 2);
    if (close == std::string_view::npos) return;
    const std::size_t inner = text.rfind("[[", close);
    Link link = parse_wikilink(text.substr(inner + 2, close - inner - 2));
    link.kind = Link::Kind::kFrontMatter;
    link.line = line;
    if (!link.target.empty() || !link.heading.empty() || !link.block.empty())
      links.push_back(std::move(link));
    at = close + 2;
  }
}

}  // namespace knap::vault
