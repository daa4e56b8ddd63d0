#include "page_facts.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include <boost/json.hpp>

#include "html_address.hpp"
#include "html_text.hpp"
#include "knap/base/text.hpp"
#include "knap/extract/document.hpp"

namespace knap::extract::html {
namespace {

namespace json = boost::json;

constexpr std::size_t kLinkedDataBytesMax = 1 << 20;
constexpr std::size_t kLinkedDataDepthMax = 32;
constexpr std::size_t kFactBytesMax = 1024;

using Meta = std::map<std::string, std::string, std::less<>>;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::string clean(std::string_view text) { return clean_line(text::truncate(text, kFactBytesMax)); }

/// The first of `names` that is not empty.
std::string first_of(const Meta& meta, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names)
    if (const auto found = meta.find(name); found != meta.end() && !found->second.empty())
      return found->second;
  return {};
}

Meta read_meta(const Tree& page) {
  Meta meta;
  for (const Id id : page.all(page.root(), GUMBO_TAG_META)) {
    const std::string value = clean(page.attribute(id, "content"));
    if (value.empty()) continue;
    for (const char* key : {"property", "name", "itemprop"}) {
      std::string names = lower(page.attribute(id, key));
      // "dc.title" and "dc:title" are one.
      if (names.starts_with("dc") || names.starts_with("weibo"))
        std::replace(names.begin(), names.end(), '.', ':');
      if (!names.empty()) meta.emplace(names, value);
    }
  }
  return meta;
}

std::string text_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? clean(value->get_string()) : std::string();
}

/// A name, an object with one, or several of either.
std::string names_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return {};
  const auto name_of = [](const json::value& one) {
    if (one.is_string()) return clean(one.get_string());
    return one.is_object() ? text_at(one.get_object(), "name") : std::string();
  };
  if (!value->is_array()) return name_of(*value);
  constexpr std::size_t kNamesMax = 8;
  std::string out;
  std::size_t names = 0;
  for (const json::value& one : value->get_array()) {
    const std::string name = name_of(one);
    if (name.empty() || ++names > kNamesMax) continue;
    out += (out.empty() ? "" : ", ") + name;
  }
  return out;
}

bool is_article_type(const json::object& object) {
  constexpr std::array<std::string_view, 22> kTypes{"Article",
                                                    "AdvertiserContentArticle",
                                                    "NewsArticle",
                                                    "AnalysisNewsArticle",
                                                    "AskPublicNewsArticle",
                                                    "BackgroundNewsArticle",
                                                    "OpinionNewsArticle",
                                                    "ReportageNewsArticle",
                                                    "ReviewNewsArticle",
                                                    "Report",
                                                    "SatiricalArticle",
                                                    "ScholarlyArticle",
                                                    "MedicalScholarlyArticle",
                                                    "SocialMediaPosting",
                                                    "BlogPosting",
                                                    "LiveBlogPosting",
                                                    "DiscussionForumPosting",
                                                    "TechArticle",
                                                    "APIReference",
                                                    "WebPage",
                                                    "Recipe",
                                                    "HowTo"};
  const json::value* type = object.if_contains("@type");
  if (type == nullptr) return false;
  const auto is = [&](const json::value& one) {
    return one.is_string() && std::find(kTypes.begin(), kTypes.end(),
                                        std::string_view(one.get_string())) != kTypes.end();
  };
  if (!type->is_array()) return is(*type);
  return std::any_of(type->get_array().begin(), type->get_array().end(), is);
}

/// The article of a block of linked data: it itself, one of a list, one of its graph.
const json::object* find_article(const json::value& data) {
  const auto in_list = [](const json::array& list) -> const json::object* {
    const json::object* page = nullptr;
    for (const json::value& one : list) {
      if (!one.is_object() || !is_article_type(one.get_object())) continue;
      const json::value& type = one.get_object().at("@type");
      // A page's own entry is less than that of the article in it.
      if (!type.is_string() || type.get_string() != "WebPage") return &one.get_object();
      if (page == nullptr) page = &one.get_object();
    }
    return page;
  };
  if (data.is_array()) return in_list(data.get_array());
  if (!data.is_object()) return nullptr;
  if (is_article_type(data.get_object())) return &data.get_object();
  const json::value* graph = data.get_object().if_contains("@graph");
  return graph != nullptr && graph->is_array() ? in_list(graph->get_array()) : nullptr;
}

/// What a block of linked data holds: pages of XHTML times wrap it.
std::string_view unwrapped(std::string_view text) {
  constexpr std::string_view kBegin = "<![CDATA[";
  constexpr std::string_view kEnd = "]]>";
  text = text::trim(text);
  if (text.starts_with(kBegin)) text.remove_prefix(kBegin.size());
  if (text.ends_with(kEnd)) text.remove_suffix(kEnd.size());
  return text;
}

PageFacts read_linked_data(const Tree& page) {
  PageFacts facts;
  for (const Id id : page.all(page.root(), GUMBO_TAG_SCRIPT)) {
    if (lower(page.attribute(id, "type")) != "application/ld+json") continue;
    const Id inner = page.at(id).first;
    if (inner == kNone || page.at(inner).text.size() > kLinkedDataBytesMax) continue;
    json::parse_options options;
    options.max_depth = kLinkedDataDepthMax;
    boost::system::error_code error;
    const json::value data = json::parse(unwrapped(page.at(inner).text), error, {}, options);
    if (error) continue;
    const json::object* article = find_article(data);
    if (article == nullptr) continue;
    facts.title = text_at(*article, "headline");
    if (facts.title.empty()) facts.title = text_at(*article, "name");
    facts.author = names_at(*article, "author");
    facts.site = names_at(*article, "publisher");
    facts.description = text_at(*article, "description");
    facts.published = text_at(*article, "datePublished");
    if (!facts.title.empty()) break;
  }
  return facts;
}

std::size_t word_count(std::string_view text) {
  std::size_t words = 0;
  bool within = false;
  for (const char c : text) {
    const bool space = c == ' ';
    if (!space && !within) ++words;
    within = !space;
  }
  return words;
}

constexpr std::array<std::string_view, 8> kSeparators{" | ",  " - ", " – ", " — ",
                                                      " \\ ", " / ", " > ", " » "};
constexpr std::size_t kHierarchical = 4;  // separators from here on name a path to the page

/// The title element without the name of the site.
std::string shortened(const Tree& page, const std::string& whole) {
  std::size_t last = std::string::npos;
  std::size_t first_end = std::string::npos;
  bool hierarchical = false;
  for (std::size_t i = 0; i < kSeparators.size(); ++i) {
    const std::size_t at = whole.rfind(kSeparators[i]);
    if (at == std::string::npos) continue;
    hierarchical = hierarchical || i >= kHierarchical;
    if (last == std::string::npos || at > last) last = at;
    first_end = std::min(first_end, whole.find(kSeparators[i]) + kSeparators[i].size());
  }
  const auto heading_is = [&](std::string_view text) {
    for (const GumboTag tag : {GUMBO_TAG_H1, GUMBO_TAG_H2})
      for (const Id id : page.all(page.root(), tag))
        if (text_of(page, id) == text) return true;
    return false;
  };
  std::string out = whole;
  constexpr std::size_t kFewWords = 3;
  if (last != std::string::npos) {
    out = whole.substr(0, last);
    if (word_count(out) < kFewWords) out = whole.substr(first_end);
  } else if (const std::size_t colon = whole.rfind(": "); colon != std::string::npos) {
    constexpr std::size_t kManyWords = 5;
    if (heading_is(whole)) return whole;
    const std::size_t first = whole.find(": ");
    out = whole.substr(colon + 2);
    if (word_count(out) < kFewWords)
      out = whole.substr(first + 2);
    else if (word_count(whole.substr(0, first)) > kManyWords)
      out = whole;
  } else if (whole.size() > 150 || whole.size() < 15) {
    const auto headings = page.all(page.root(), GUMBO_TAG_H1);
    if (headings.size() == 1) out = text_of(page, headings[0]);
  }
  out = clean(out);
  constexpr std::size_t kShort = 4;
  const std::size_t words = word_count(out);
  if (words <= kShort && (!hierarchical || words + 2 != word_count(whole))) return whole;
  return out;
}

std::string title_element(const Tree& page) {
  for (const Id id : page.all(page.root(), GUMBO_TAG_TITLE)) {
    if (page.has_ancestor(id, GUMBO_TAG_SVG, kDepthMax)) continue;
    if (std::string text = clean(text_of(page, id)); !text.empty()) return text;
  }
  return {};
}

/// A date of the form 2026-11-28, with or without a time; empty: not one.
std::string iso_date(std::string_view text) {
  const auto digit = [&](std::size_t i) { return text[i] >= '0' && text[i] <= '9'; };
  constexpr std::size_t kDateBytes = 10;
  constexpr std::size_t kStampBytesMax = 35;
  if (text.size() < kDateBytes || text.size() > kStampBytesMax) return {};
  for (std::size_t i = 0; i < kDateBytes; ++i)
    if (i == 4 || i == 7 ? text[i] != '-' : !digit(i)) return {};
  for (const char c : text.substr(kDateBytes))
    if ((c < '0' || c > '9') && c != 'T' && c != 'Z' && c != ':' && c != '.' && c != '+' &&
        c != '-' && c != ' ')
      return {};
  std::string out(text);
  if (out.size() > kDateBytes && out[kDateBytes] == ' ') out[kDateBytes] = 'T';
  return out.find(' ') == std::string::npos ? out : out.substr(0, kDateBytes);
}

std::string find_date(const Tree& page, const Meta& meta, const PageFacts& linked) {
  if (std::string date = iso_date(linked.published); !date.empty()) return date;
  const std::string named = first_of(
      meta, {"article:published_time", "og:article:published_time", "parsely-pub-date",
             "datepublished", "dc:date", "dcterms:date", "dc:date:issued", "dcterms:created",
             "citation_publication_date", "pubdate", "publishdate", "date", "sailthru.date"});
  if (std::string date = iso_date(named); !date.empty()) return date;
  for (const Id id : page.all(page.root(), GUMBO_TAG_TIME)) {
    if (!page.has_attribute(id, "pubdate") &&
        page.attribute(id, "itemprop").find("datePublished") == std::string_view::npos)
      continue;
    if (std::string date = iso_date(page.attribute(id, "datetime")); !date.empty()) return date;
  }
  return {};
}

/// A BCP 47 tag; empty: not one.
std::string language_tag(std::string_view text) {
  constexpr std::size_t kTagBytesMax = 35;
  text = text::trim(text);
  const bool good = std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
  if (!good || text.size() < 2 || text.size() > kTagBytesMax) return {};
  std::string out(text);
  std::replace(out.begin(), out.end(), '_', '-');
  return out;
}

}  // namespace

PageFacts find_page_facts(const Tree& page, const std::string& address) {
  const Meta meta = read_meta(page);
  PageFacts facts = read_linked_data(page);
  facts.published = find_date(page, meta, facts);
  if (facts.title.empty())
    facts.title =
        first_of(meta, {"dc:title", "dcterm:title", "og:title", "weibo:article:title",
                        "weibo:webpage:title", "title", "twitter:title", "parsely-title"});
  if (facts.title.empty()) facts.title = shortened(page, title_element(page));
  if (facts.author.empty())
    facts.author = first_of(meta, {"dc:creator", "dcterm:creator", "author", "parsely-author"});
  if (facts.author.empty()) {
    const std::string author = first_of(meta, {"article:author"});
    if (author.find("://") == std::string::npos) facts.author = author;
  }
  if (facts.site.empty()) facts.site = first_of(meta, {"og:site_name"});
  if (facts.description.empty())
    facts.description = first_of(meta, {"dc:description", "dcterm:description", "og:description",
                                        "description", "twitter:description"});
  facts.language = language_tag(page.attribute(page.root(), "lang"));
  if (facts.language.empty()) facts.language = language_tag(first_of(meta, {"og:locale"}));
  facts.base = address;
  if (const auto bases = page.all(page.root(), GUMBO_TAG_BASE); !bases.empty()) {
    const std::string base = absolute_address(address, page.attribute(bases[0], "href"));
    if (!base.empty()) facts.base = base;
  }
  for (const Id id : page.all(page.root(), GUMBO_TAG_LINK)) {
    if (lower(page.attribute(id, "rel")) != "canonical") continue;
    facts.canonical = absolute_address(facts.base, page.attribute(id, "href"));
    break;
  }
  if (facts.canonical.empty())
    facts.canonical = absolute_address(facts.base, first_of(meta, {"og:url"}));
  return facts;
}

}  // namespace knap::extract::html
