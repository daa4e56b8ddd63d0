#include <algorithm>
#include <array>
#include <string>

#include "html_text.hpp"
#include "knap/base/text.hpp"
#include "readable.hpp"

namespace knap::extract::html {
namespace {

constexpr std::uint32_t kAnywhere = kDepthMax + 1;

std::size_t count(const Tree& tree, Id top, std::initializer_list<GumboTag> tags) {
  std::size_t found = 0;
  for (Id id = tree.following(top, top); id != kNone; id = tree.following(id, top))
    if (tree.is_element(id) && std::find(tags.begin(), tags.end(), tree.at(id).tag) != tags.end())
      ++found;
  return found;
}

/// Characters within the outermost elements of `tags`, or in each of them.
std::size_t characters_in(const Tree& tree, Id top, std::initializer_list<GumboTag> tags) {
  std::size_t sum = 0;
  for (Id id = tree.following(top, top); id != kNone; id = tree.following(id, top))
    if (tree.is_element(id) && std::find(tags.begin(), tags.end(), tree.at(id).tag) != tags.end())
      sum += measure(tree, id).characters;
  return sum;
}

double share(std::size_t part, std::size_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

/// A box whose whole text marks an advertisement or a part that a script would fill.
bool is_placeholder(const std::string& text) {
  constexpr std::array<std::string_view, 14> kTexts{
      "ad",      "advertising", "advertisement", "pub",     "publicite", "werb",       "werbung",
      "anuncio", "广告",        "реклама",       "loading", "正在加载",  "chargement", "cargando"};
  std::string folded = text::fold(text);
  while (folded.ends_with('.')) folded.pop_back();
  return std::find(kTexts.begin(), kTexts.end(), folded) != kTexts.end();
}

bool is_video(const Tree& tree, Id id) {
  constexpr std::array<std::string_view, 6> kHosts{"youtube",          "youtu.be",
                                                   "vimeo.com",        "dailymotion.com",
                                                   "player.twitch.tv", "upload.wikimedia.org"};
  const std::string_view source = tree.attribute(id, "src");
  return std::any_of(kHosts.begin(), kHosts.end(), [&](std::string_view host) {
    return source.find(host) != std::string_view::npos;
  });
}

class Cleaner {
 public:
  Cleaner(Tree& tree, Id content, const CleaningRules& rules)
      : tree_(tree), content_(content), rules_(rules) {}

  void run() {
    mark_data_tables();
    clean_boxes(GUMBO_TAG_FORM);
    clean_boxes(GUMBO_TAG_FIELDSET);
    drop({GUMBO_TAG_OBJECT, GUMBO_TAG_EMBED, GUMBO_TAG_FOOTER, GUMBO_TAG_LINK, GUMBO_TAG_ASIDE});
    drop_sharing();
    drop({GUMBO_TAG_IFRAME, GUMBO_TAG_INPUT, GUMBO_TAG_TEXTAREA, GUMBO_TAG_SELECT,
          GUMBO_TAG_BUTTON});
    drop_headings();
    clean_boxes(GUMBO_TAG_TABLE);
    clean_boxes(GUMBO_TAG_UL);
    clean_boxes(GUMBO_TAG_DIV);
  }

 private:
  std::vector<Id> in_reverse(GumboTag tag) const {
    std::vector<Id> out = tree_.all(content_, tag);
    std::reverse(out.begin(), out.end());
    return out;
  }

  void drop(std::initializer_list<GumboTag> tags) {
    for (const GumboTag tag : tags)
      for (const Id id : in_reverse(tag))
        if (!is_video(tree_, id)) tree_.remove(id);
  }

  // Small boxes of buttons; a long text may have "share" in its name.
  void drop_sharing() {
    constexpr std::size_t kSmall = 500;
    for (Id id = tree_.following(content_, content_); id != kNone;) {
      const bool sharing = tree_.is_element(id) && names_sharing(names_of(tree_, id)) &&
                           measure(tree_, id).characters < kSmall;
      const Id next = sharing ? tree_.after(id, content_) : tree_.following(id, content_);
      if (sharing) tree_.remove(id);
      id = next;
    }
  }

  void drop_headings() {
    for (const GumboTag tag : {GUMBO_TAG_H1, GUMBO_TAG_H2})
      for (const Id id : in_reverse(tag))
        if (rules_.by_names && weight_of_names(tree_, id) < 0) tree_.remove(id);
  }

  void mark_data_tables() {
    for (const Id table : tree_.all(content_, GUMBO_TAG_TABLE))
      tree_.at(table).is_data_table = is_data_table(table);
  }

  /// Rather than a table that only lays out the page.
  bool is_data_table(Id table) const {
    constexpr std::size_t kManyRows = 10;
    constexpr std::size_t kManyColumns = 4;
    constexpr std::size_t kManyCells = 10;
    if (tree_.attribute(table, "role") == "presentation") return false;
    if (tree_.attribute(table, "datatable") == "0") return false;
    if (tree_.has_attribute(table, "summary")) return true;
    const auto captions = tree_.all(table, GUMBO_TAG_CAPTION);
    if (!captions.empty() && tree_.at(captions[0]).first != kNone) return true;
    if (count(tree_, table,
              {GUMBO_TAG_COL, GUMBO_TAG_COLGROUP, GUMBO_TAG_TFOOT, GUMBO_TAG_THEAD, GUMBO_TAG_TH}) >
        0)
      return true;
    if (count(tree_, table, {GUMBO_TAG_TABLE}) > 0) return false;
    const std::vector<Id> rows = tree_.all(table, GUMBO_TAG_TR);
    std::size_t columns = 0;
    for (const Id row : rows) columns = std::max(columns, tree_.element_count(row));
    if (columns == 1 || rows.size() == 1) return false;
    return rows.size() >= kManyRows || columns > kManyColumns || rows.size() * columns > kManyCells;
  }

  bool in_data_table(Id id) const {
    for (Id above = tree_.at(id).parent; above != kNone; above = tree_.at(above).parent)
      if (tree_.at(above).is_data_table) return true;
    return false;
  }

  void clean_boxes(GumboTag tag) {
    if (!rules_.by_content) return;
    for (const Id id : in_reverse(tag))
      if (should_go(id)) tree_.remove(id);
  }

  bool is_list(Id id) const {
    constexpr double kMostly = .9;
    if (tree_.is(id, GUMBO_TAG_UL) || tree_.is(id, GUMBO_TAG_OL)) return true;
    const std::size_t characters = measure(tree_, id).characters;
    return share(characters_in(tree_, id, {GUMBO_TAG_UL, GUMBO_TAG_OL}), characters) > kMostly;
  }

  bool should_go(Id id) const {
    constexpr std::size_t kManyCommas = 10;
    if (tree_.at(id).is_data_table || in_data_table(id) ||
        tree_.has_ancestor(id, GUMBO_TAG_CODE, kAnywhere))
      return false;
    for (const Id table : tree_.all(id, GUMBO_TAG_TABLE))
      if (tree_.at(table).is_data_table) return false;
    const int weight = rules_.by_names ? weight_of_names(tree_, id) : 0;
    if (weight < 0) return true;
    const Measure text = measure(tree_, id);
    if (text.commas >= kManyCommas) return false;
    std::size_t embedded = 0;
    for (const GumboTag tag : {GUMBO_TAG_OBJECT, GUMBO_TAG_EMBED, GUMBO_TAG_IFRAME}) {
      for (const Id inner : tree_.all(id, tag)) {
        if (is_video(tree_, inner)) return false;
        ++embedded;
      }
    }
    if (is_placeholder(text_of(tree_, id))) return true;
    const bool list = is_list(id);
    if (!looks_bad(id, text, weight, list, embedded)) return false;
    return !(list && is_gallery(id));
  }

  // A list of pictures, one each, is content.
  bool is_gallery(Id id) const {
    for (Id child = tree_.first_element(id); child != kNone; child = tree_.next_element(child))
      if (tree_.element_count(child) > 1) return false;
    return count(tree_, id, {GUMBO_TAG_IMG}) == count(tree_, id, {GUMBO_TAG_LI});
  }

  bool looks_bad(Id id, const Measure& text, int weight, bool list, std::size_t embedded) const {
    const std::size_t paragraphs = count(tree_, id, {GUMBO_TAG_P});
    const std::size_t images = count(tree_, id, {GUMBO_TAG_IMG});
    const std::size_t items = count(tree_, id, {GUMBO_TAG_LI});
    const std::size_t inputs = count(tree_, id, {GUMBO_TAG_INPUT});
    const double links = text.link_density();
    const double headings = share(characters_in(tree_, id,
                                                {GUMBO_TAG_H1, GUMBO_TAG_H2, GUMBO_TAG_H3,
                                                 GUMBO_TAG_H4, GUMBO_TAG_H5, GUMBO_TAG_H6}),
                                  text.characters);
    const double flowing =
        share(characters_in(tree_, id,
                            {GUMBO_TAG_SPAN, GUMBO_TAG_LI, GUMBO_TAG_TD, GUMBO_TAG_BLOCKQUOTE,
                             GUMBO_TAG_DL, GUMBO_TAG_DIV, GUMBO_TAG_OL, GUMBO_TAG_P, GUMBO_TAG_PRE,
                             GUMBO_TAG_TABLE, GUMBO_TAG_UL}),
              text.characters);
    const bool in_figure = tree_.has_ancestor(id, GUMBO_TAG_FIGURE, 3);
    if (!in_figure && images > 1 && share(paragraphs, images) < .5) return true;
    if (!list && items > paragraphs + 100) return true;
    if (inputs > paragraphs / 3) return true;
    if (!list && !in_figure && headings < .9 && text.characters < 25 &&
        (images == 0 || images > 2) && links > 0)
      return true;
    if (!list && weight < 25 && links > .2) return true;
    if (weight >= 25 && links > .5) return true;
    if ((embedded == 1 && text.characters < 75) || embedded > 1) return true;
    return images == 0 && flowing == 0;
  }

  Tree& tree_;
  const Id content_;
  const CleaningRules& rules_;
};

}  // namespace

void clean_article(Tree& tree, Id content, const CleaningRules& rules) {
  Cleaner(tree, content, rules).run();
}

}  // namespace knap::extract::html
