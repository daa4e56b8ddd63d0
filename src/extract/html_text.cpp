#include "html_text.hpp"

#include <algorithm>
#include <array>
#include <span>

#include "knap/base/text.hpp"

namespace knap::extract::html {
namespace {

using Words = std::span<const std::string_view>;

// Names that web pages give to what is not their text, and to what is. Those of Arc90's Readability
// and its successors, which have been tried on the web for many years.
constexpr std::array<std::string_view, 34> kUnlikely{
    "-ad-",         "ai2html",           "banner",         "breadcrumbs",   "combx",  "comment",
    "community",    "cover-wrap",        "disqus",         "extra",         "footer", "gdpr",
    "header",       "legends",           "menu",           "related",       "remark", "replies",
    "rss",          "shoutbox",          "sidebar",        "skyscraper",    "social", "sponsor",
    "supplemental", "ad-break",          "agegate",        "pagination",    "pager",  "popup",
    "yom-remote",   "newsletter-signup", "cookie-consent", "paywall-prompt"};
constexpr std::array<std::string_view, 8> kPossible{"and",     "article", "body",    "column",
                                                    "content", "main",    "mathjax", "shadow"};
constexpr std::array<std::string_view, 13> kPositive{
    "article", "body", "content",    "entry", "hentry", "h-entry", "main",
    "page",    "post", "pagination", "text",  "blog",   "story"};
constexpr std::array<std::string_view, 25> kNegative{
    "-ad-",     "hidden",   "banner",   "combx",   "comment",
    "com-",     "contact",  "footer",   "gdpr",    "media",
    "masthead", "meta",     "outbrain", "promo",   "related",
    "scroll",   "share",    "shoutbox", "sidebar", "skyscraper",
    "sponsor",  "shopping", "tags",     "widget",  "newsletter-signup"};
constexpr std::array<std::string_view, 5> kByline{"byline", "author", "dateline", "writtenby",
                                                  "p-author"};

bool has_any(std::string_view names, Words words) {
  return std::any_of(words.begin(), words.end(), [&](std::string_view word) {
    return names.find(word) != std::string_view::npos;
  });
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

/// `word` between white space: one class name of several.
bool has_whole(std::string_view names, std::string_view word) {
  for (std::size_t at = names.find(word); at != std::string_view::npos;
       at = names.find(word, at + 1)) {
    const bool begins = at == 0 || names[at - 1] == ' ';
    const std::size_t end = at + word.size();
    if (begins && (end == names.size() || names[end] == ' ')) return true;
  }
  return false;
}

int weight_of(std::string_view name) {
  constexpr int kStep = 25;
  if (name.empty()) return 0;
  const std::string small = lower(name);
  int weight = 0;
  if (has_any(small, kNegative) || has_whole(small, "hid")) weight -= kStep;
  if (has_any(small, kPositive)) weight += kStep;
  return weight;
}

bool is_comma(char32_t c) {
  constexpr std::u32string_view kCommas = U",\u060C\uFE50\uFE10\uFE11\u2E41\u2E34\u2E32\uFF0C";
  return kCommas.find(c) != std::u32string_view::npos;
}

bool is_white_space(char32_t c) {
  return c == U' ' || (c >= U'\t' && c <= U'\r') || (c > 0x7F && text::is_space(c));
}

/// Calls `take(character, in_link_weight)` for each character of the collapsed text below `top`.
template <typename Take>
void each_character(const Tree& tree, Id top, const Take& take) {
  constexpr double kWithinPage = .3;
  bool pending = false;
  bool any = false;
  Id link = kNone;
  double weight = 0;
  double space_weight = 0;
  for (Id id = tree.is_element(top) ? tree.following(top, top) : top; id != kNone;
       id = id == top ? kNone : tree.following(id, top)) {
    if (!tree.at(id).is_text) {
      if (tree.is(id, GUMBO_TAG_A)) {
        link = id;
        weight = tree.attribute(id, "href").starts_with('#') ? kWithinPage : 1;
      }
      continue;
    }
    if (link != kNone) {  // the link may have ended before this text
      Id above = tree.at(id).parent;
      while (above != kNone && above != link && above != top) above = tree.at(above).parent;
      if (above != link) {
        link = kNone;
        weight = 0;
      }
    }
    const std::string_view text = tree.at(id).text;
    for (std::size_t at = 0; at < text.size();) {
      const char32_t c = text::decode(text, at);
      if (is_white_space(c)) {
        if (!pending) space_weight = weight;
        pending = any;
        continue;
      }
      if (pending) take(U' ', space_weight);
      pending = false;
      any = true;
      take(c, weight);
    }
  }
}

}  // namespace

std::string text_of(const Tree& tree, Id id) {
  std::string out;
  each_character(tree, id, [&](char32_t c, double) { text::append(out, c); });
  return out;
}

Measure measure(const Tree& tree, Id id) {
  Measure out;
  each_character(tree, id, [&](char32_t c, double weight) {
    ++out.characters;
    out.link_characters += weight;
    if (is_comma(c)) ++out.commas;
  });
  return out;
}

bool is_blank(std::string_view text) {
  for (std::size_t at = 0; at < text.size();)
    if (!is_white_space(text::decode(text, at))) return false;
  return true;
}

bool is_white(const Tree& tree, Id id) {
  return tree.at(id).is_text ? is_blank(tree.at(id).text) : tree.is(id, GUMBO_TAG_BR);
}

bool is_phrasing(const Tree& tree, Id id) {
  if (tree.at(id).is_text) return true;
  switch (tree.at(id).tag) {
    case GUMBO_TAG_ABBR:
    case GUMBO_TAG_AUDIO:
    case GUMBO_TAG_B:
    case GUMBO_TAG_BDO:
    case GUMBO_TAG_BR:
    case GUMBO_TAG_BUTTON:
    case GUMBO_TAG_CITE:
    case GUMBO_TAG_CODE:
    case GUMBO_TAG_DATA:
    case GUMBO_TAG_DATALIST:
    case GUMBO_TAG_DFN:
    case GUMBO_TAG_EM:
    case GUMBO_TAG_EMBED:
    case GUMBO_TAG_I:
    case GUMBO_TAG_IMG:
    case GUMBO_TAG_INPUT:
    case GUMBO_TAG_KBD:
    case GUMBO_TAG_LABEL:
    case GUMBO_TAG_MARK:
    case GUMBO_TAG_MATH:
    case GUMBO_TAG_METER:
    case GUMBO_TAG_OBJECT:
    case GUMBO_TAG_OUTPUT:
    case GUMBO_TAG_PROGRESS:
    case GUMBO_TAG_Q:
    case GUMBO_TAG_RUBY:
    case GUMBO_TAG_SAMP:
    case GUMBO_TAG_SELECT:
    case GUMBO_TAG_SMALL:
    case GUMBO_TAG_SPAN:
    case GUMBO_TAG_STRONG:
    case GUMBO_TAG_SUB:
    case GUMBO_TAG_SUP:
    case GUMBO_TAG_TEXTAREA:
    case GUMBO_TAG_TIME:
    case GUMBO_TAG_VAR:
    case GUMBO_TAG_WBR:
    case GUMBO_TAG_FONT: return true;
    case GUMBO_TAG_A:
    case GUMBO_TAG_DEL:
    case GUMBO_TAG_INS: {
      for (Id child = tree.at(id).first; child != kNone; child = tree.at(child).next)
        if (!is_phrasing(tree, child)) return false;
      return true;
    }
    default: return false;
  }
}

bool has_block_child(const Tree& tree, Id id) {
  for (Id child = tree.following(id, id); child != kNone; child = tree.following(child, id)) {
    if (tree.at(child).is_text) continue;
    switch (tree.at(child).tag) {
      case GUMBO_TAG_BLOCKQUOTE:
      case GUMBO_TAG_DL:
      case GUMBO_TAG_DIV:
      case GUMBO_TAG_IMG:
      case GUMBO_TAG_OL:
      case GUMBO_TAG_P:
      case GUMBO_TAG_PRE:
      case GUMBO_TAG_TABLE:
      case GUMBO_TAG_UL: return true;
      default: break;
    }
  }
  return false;
}

bool is_hollow(const Tree& tree, Id id) {
  for (Id child = tree.at(id).first; child != kNone; child = tree.at(child).next) {
    if (tree.at(child).is_text ? !is_blank(tree.at(child).text)
                               : !tree.is(child, GUMBO_TAG_BR) && !tree.is(child, GUMBO_TAG_HR))
      return false;
  }
  return true;
}

bool is_visible(const Tree& tree, Id id) {
  std::string style = lower(tree.attribute(id, "style"));
  std::erase_if(style, [](char c) { return c == ' ' || c == '\t' || c == '\n'; });
  if (style.find("display:none") != std::string::npos) return false;
  if (style.find("visibility:hidden") != std::string::npos) return false;
  if (tree.has_attribute(id, "hidden")) return false;
  // Formulas hide their picture from screen readers, which read its source.
  return tree.attribute(id, "aria-hidden") != "true" ||
         tree.attribute(id, "class").find("fallback-image") != std::string_view::npos;
}

std::string names_of(const Tree& tree, Id id) {
  return lower(std::string(tree.attribute(id, "class")) + " " +
               std::string(tree.attribute(id, "id")));
}

bool names_unlikely(std::string_view names) { return has_any(names, kUnlikely); }
bool names_likely(std::string_view names) { return has_any(names, kPossible); }
bool names_byline(std::string_view names) { return has_any(names, kByline); }

bool names_sharing(std::string_view names) {
  const auto edge = [&](std::size_t at) {
    return at >= names.size() || names[at] == '_' ||
           !((names[at] >= 'a' && names[at] <= 'z') || (names[at] >= '0' && names[at] <= '9'));
  };
  for (const std::string_view word : {"sharedaddy", "share"}) {
    for (std::size_t at = names.find(word); at != std::string_view::npos;
         at = names.find(word, at + 1))
      if ((at == 0 || edge(at - 1)) && edge(at + word.size())) return true;
  }
  return false;
}

int weight_of_names(const Tree& tree, Id id) {
  return weight_of(tree.attribute(id, "class")) + weight_of(tree.attribute(id, "id"));
}

}  // namespace knap::extract::html
