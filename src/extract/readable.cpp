#include "readable.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

#include "html_text.hpp"
#include "knap/base/words.hpp"

namespace knap::extract::html {
namespace {

constexpr std::size_t kEnoughCharacters = 500;    // less: read again with less strict rules
constexpr std::size_t kParagraphCharacters = 25;  // shorter ones give no points
constexpr std::uint32_t kScoredAncestors = 5;
constexpr std::size_t kTopCandidates = 5;
constexpr std::uint32_t kNearAncestors = 3;
constexpr std::size_t kBylineCharactersMax = 100;

struct Rules {
  bool skip_unlikely = true;
  CleaningRules cleaning;
};

bool is_any(const Tree& tree, Id id, std::initializer_list<GumboTag> tags) {
  if (tree.at(id).is_text) return false;
  return std::find(tags.begin(), tags.end(), tree.at(id).tag) != tags.end();
}

bool is_heading(const Tree& tree, Id id) {
  return is_any(
      tree, id,
      {GUMBO_TAG_H1, GUMBO_TAG_H2, GUMBO_TAG_H3, GUMBO_TAG_H4, GUMBO_TAG_H5, GUMBO_TAG_H6});
}

/// Of two texts, how much of the second's words stand in the first: 0 to 1.
double words_in_common(std::string_view a, std::string_view b) {
  const auto first = text::folded_words(a);
  const auto second = text::folded_words(b);
  if (first.empty() || second.empty()) return 0;
  std::size_t all = second.size() - 1;
  std::size_t missing = 0;
  for (const auto& word : second) {
    all += word.size();
    if (std::find(first.begin(), first.end(), word) == first.end()) missing += word.size() + 1;
  }
  return 1 - static_cast<double>(missing) / static_cast<double>(all + 1);
}

/// One reading of a page under given rules.
class Reading {
 public:
  Reading(const Tree& page, const ArticleHints& hints, const Rules& rules)
      : tree_(page), hints_(hints), rules_(rules) {}

  Article run() {
    const std::vector<Id> paragraphs = prepare();
    const std::vector<Id> candidates = score(paragraphs);
    const Id top = choose(candidates);
    const Id content = gather(top);
    clean_article(tree_, content, rules_.cleaning);
    return {std::move(tree_), content, std::move(byline_)};
  }

 private:
  // Takes out what is certainly no text and finds the paragraphs. Boxes that hold a line of text
  // become paragraphs.
  std::vector<Id> prepare() {
    std::vector<Id> paragraphs;
    const Id top = tree_.root();
    for (Id id = top; id != kNone;) {
      if (tree_.at(id).is_text) {
        id = tree_.following(id, top);
        continue;
      }
      if (id != top && id != tree_.body() && is_noise(id)) {
        const Id next = tree_.after(id, top);
        tree_.remove(id);
        id = next;
        continue;
      }
      if (is_any(tree_, id,
                 {GUMBO_TAG_SECTION, GUMBO_TAG_H2, GUMBO_TAG_H3, GUMBO_TAG_H4, GUMBO_TAG_H5,
                  GUMBO_TAG_H6, GUMBO_TAG_P, GUMBO_TAG_TD, GUMBO_TAG_PRE}))
        paragraphs.push_back(id);
      if (tree_.is(id, GUMBO_TAG_DIV)) id = make_paragraphs(id, paragraphs);
      id = tree_.following(id, top);
    }
    return paragraphs;
  }

  bool is_noise(Id id) {
    if (is_any(tree_, id,
               {GUMBO_TAG_SCRIPT, GUMBO_TAG_NOSCRIPT, GUMBO_TAG_STYLE, GUMBO_TAG_TEMPLATE,
                GUMBO_TAG_HEAD}))
      return true;
    if (!is_visible(tree_, id)) return true;
    if (tree_.attribute(id, "aria-modal") == "true" && tree_.attribute(id, "role") == "dialog")
      return true;
    const std::string names = names_of(tree_, id);
    if (is_byline(id, names) || repeats_title(id)) return true;
    if (rules_.skip_unlikely && is_unlikely(id, names)) return true;
    return (is_any(tree_, id, {GUMBO_TAG_DIV, GUMBO_TAG_SECTION, GUMBO_TAG_HEADER}) ||
            is_heading(tree_, id)) &&
           is_hollow(tree_, id);
  }

  bool is_byline(Id id, const std::string& names) {
    if (hints_.has_author || !byline_.empty()) return false;
    if (tree_.attribute(id, "rel") != "author" &&
        tree_.attribute(id, "itemprop").find("author") == std::string_view::npos &&
        !names_byline(names))
      return false;
    std::string text = text_of(tree_, id);
    if (text.empty() || text.size() >= kBylineCharactersMax) return false;
    for (Id inner = id; inner != kNone; inner = tree_.following(inner, id)) {
      if (tree_.is_element(inner) &&
          tree_.attribute(inner, "itemprop").find("name") != std::string_view::npos) {
        text = text_of(tree_, inner);
        break;
      }
    }
    byline_ = std::move(text);
    return true;
  }

  bool repeats_title(Id id) {
    constexpr double kSame = .75;
    if (title_dropped_ || !is_any(tree_, id, {GUMBO_TAG_H1, GUMBO_TAG_H2})) return false;
    title_dropped_ = words_in_common(hints_.title, text_of(tree_, id)) > kSame;
    return title_dropped_;
  }

  bool is_unlikely(Id id, const std::string& names) const {
    constexpr std::array<std::string_view, 7> kRoles{
        "menu", "menubar", "complementary", "navigation", "alert", "alertdialog", "dialog"};
    if (names_unlikely(names) && !names_likely(names) &&
        !tree_.has_ancestor(id, GUMBO_TAG_TABLE, kNearAncestors) &&
        !tree_.has_ancestor(id, GUMBO_TAG_CODE, kNearAncestors) && !tree_.is(id, GUMBO_TAG_A))
      return true;
    const std::string_view role = tree_.attribute(id, "role");
    return std::find(kRoles.begin(), kRoles.end(), role) != kRoles.end();
  }

  /// Where to go on: `id`, or what stands in its place.
  Id make_paragraphs(Id id, std::vector<Id>& paragraphs) {
    Id paragraph = kNone;
    for (Id child = tree_.at(id).first; child != kNone;) {
      const Id next = tree_.at(child).next;
      if (is_phrasing(tree_, child)) {
        if (paragraph != kNone) {
          tree_.append(paragraph, child);
        } else if (!is_white(tree_, child)) {
          paragraph = tree_.make(GUMBO_TAG_P);
          tree_.replace(child, paragraph);
          tree_.append(paragraph, child);
        }
      } else if (paragraph != kNone) {
        while (tree_.at(paragraph).last != kNone && is_white(tree_, tree_.at(paragraph).last))
          tree_.remove(tree_.at(paragraph).last);
        paragraph = kNone;
      }
      child = next;
    }
    constexpr double kFewLinks = .25;
    const Id only = only_paragraph(id);
    if (only != kNone && measure(tree_, id).link_density() < kFewLinks) {
      tree_.replace(id, only);
      paragraphs.push_back(only);
      return only;
    }
    if (!has_block_child(tree_, id)) {
      tree_.at(id).tag = GUMBO_TAG_P;
      paragraphs.push_back(id);
    }
    return id;
  }

  Id only_paragraph(Id id) const {
    const Id only = tree_.first_element(id);
    if (only == kNone || !tree_.is(only, GUMBO_TAG_P) || tree_.next_element(only) != kNone)
      return kNone;
    for (Id child = tree_.at(id).first; child != kNone; child = tree_.at(child).next)
      if (tree_.at(child).is_text && !is_blank(tree_.at(child).text)) return kNone;
    return only;
  }

  void begin_score(Id id) {
    Node& node = tree_.at(id);
    if (node.is_scored) return;
    node.is_scored = true;
    node.score = 0;
    if (tree_.is(id, GUMBO_TAG_DIV)) node.score = 5;
    if (is_any(tree_, id, {GUMBO_TAG_PRE, GUMBO_TAG_TD, GUMBO_TAG_BLOCKQUOTE})) node.score = 3;
    if (is_any(tree_, id,
               {GUMBO_TAG_ADDRESS, GUMBO_TAG_OL, GUMBO_TAG_UL, GUMBO_TAG_DL, GUMBO_TAG_DD,
                GUMBO_TAG_DT, GUMBO_TAG_LI, GUMBO_TAG_FORM}))
      node.score = -3;
    if (is_heading(tree_, id) || tree_.is(id, GUMBO_TAG_TH)) node.score = -5;
    if (rules_.cleaning.by_names) node.score += static_cast<float>(weight_of_names(tree_, id));
  }

  std::vector<Id> score(const std::vector<Id>& paragraphs) {
    std::vector<Id> candidates;
    for (const Id paragraph : paragraphs) {
      if (tree_.at(paragraph).parent == kNone) continue;
      const Measure text = measure(tree_, paragraph);
      if (text.characters < kParagraphCharacters) continue;
      const auto points =
          static_cast<float>(2 + text.commas + std::min<std::size_t>(text.characters / 100, 3));
      Id above = tree_.at(paragraph).parent;
      for (std::uint32_t level = 0; level < kScoredAncestors && above != kNone; ++level) {
        if (tree_.at(above).parent == kNone) break;
        if (!tree_.at(above).is_scored) {
          begin_score(above);
          candidates.push_back(above);
        }
        const float divisor = level == 0 ? 1 : level == 1 ? 2 : static_cast<float>(level) * 3;
        tree_.at(above).score += points / divisor;
        above = tree_.at(above).parent;
      }
    }
    for (const Id id : candidates)
      tree_.at(id).score *= static_cast<float>(1 - measure(tree_, id).link_density());
    std::stable_sort(candidates.begin(), candidates.end(),
                     [&](Id a, Id b) { return tree_.at(a).score > tree_.at(b).score; });
    if (candidates.size() > kTopCandidates) candidates.resize(kTopCandidates);
    return candidates;
  }

  /// The element whose children are the article, from the best candidates.
  Id choose(const std::vector<Id>& candidates) {
    if (candidates.empty() || candidates[0] == tree_.body()) {
      const Id box = tree_.make(GUMBO_TAG_DIV);
      while (tree_.at(tree_.body()).first != kNone) tree_.append(box, tree_.at(tree_.body()).first);
      tree_.append(tree_.body(), box);
      begin_score(box);
      return box;
    }
    Id top = common_ancestor(candidates);
    begin_score(top);
    top = climb(top);
    Id parent = tree_.at(top).parent;
    while (parent != kNone && parent != tree_.body() && tree_.element_count(parent) == 1) {
      top = parent;
      parent = tree_.at(top).parent;
    }
    begin_score(top);
    return top;
  }

  /// Several nearly equal candidates below one element: that one.
  Id common_ancestor(const std::vector<Id>& candidates) const {
    constexpr float kNearlyEqual = .75F;
    constexpr std::size_t kEnough = 3;
    const Id best = candidates[0];
    std::vector<Id> others;
    for (std::size_t i = 1; i < candidates.size(); ++i)
      if (tree_.at(candidates[i]).score / tree_.at(best).score >= kNearlyEqual)
        others.push_back(candidates[i]);
    if (others.size() < kEnough) return best;
    for (Id above = tree_.at(best).parent; above != kNone && above != tree_.body();
         above = tree_.at(above).parent) {
      std::size_t below = 0;
      for (const Id other : others)
        for (Id up = tree_.at(other).parent; up != kNone; up = tree_.at(up).parent)
          if (up == above) ++below;
      if (below >= kEnough) return above;
    }
    return best;
  }

  /// Further up, as long as the points do not fall too far and rise again: the text of the best
  /// candidate goes on beside it.
  Id climb(Id top) const {
    constexpr float kFall = 3;
    float last = tree_.at(top).score;
    const float least = last / kFall;
    for (Id above = tree_.at(top).parent; above != kNone && above != tree_.body();
         above = tree_.at(above).parent) {
      if (!tree_.at(above).is_scored) continue;
      const float points = tree_.at(above).score;
      if (points < least) break;
      if (points > last) return above;
      last = points;
    }
    return top;
  }

  /// Joins the best element with those siblings that look like its continuation.
  Id gather(Id top) {
    constexpr float kShare = .2F;
    const float best = tree_.at(top).score;
    const float least = std::max(10.F, best * kShare);
    const std::string_view names = tree_.attribute(top, "class");
    const Id content = tree_.make(GUMBO_TAG_DIV);
    const Id parent = tree_.at(top).parent;
    if (parent == kNone) {
      tree_.append(content, top);
      return content;
    }
    for (Id sibling = tree_.first_element(parent); sibling != kNone;) {
      const Id next = tree_.next_element(sibling);
      const float bonus =
          !names.empty() && tree_.attribute(sibling, "class") == names ? best * kShare : 0;
      const Node& node = tree_.at(sibling);
      if (sibling == top || (node.is_scored && node.score + bonus >= least) ||
          is_continuation(sibling)) {
        if (!is_any(tree_, sibling,
                    {GUMBO_TAG_DIV, GUMBO_TAG_ARTICLE, GUMBO_TAG_SECTION, GUMBO_TAG_P, GUMBO_TAG_OL,
                     GUMBO_TAG_UL}))
          tree_.at(sibling).tag = GUMBO_TAG_DIV;
        tree_.append(content, sibling);
      }
      sibling = next;
    }
    return content;
  }

  /// A paragraph with few links, or a short sentence without any.
  bool is_continuation(Id sibling) const {
    constexpr std::size_t kLong = 80;
    constexpr double kFewLinks = .25;
    if (!tree_.is(sibling, GUMBO_TAG_P)) return false;
    const Measure text = measure(tree_, sibling);
    if (text.characters > kLong) return text.link_density() < kFewLinks;
    if (text.characters == 0 || text.link_characters > 0) return false;
    const std::string words = text_of(tree_, sibling);
    return words.ends_with('.') || words.find(". ") != std::string::npos;
  }

  Tree tree_;
  const ArticleHints& hints_;
  const Rules rules_;
  std::string byline_;
  bool title_dropped_ = false;
};

}  // namespace

Article find_article(const Tree& page, const ArticleHints& hints) {
  // From strict to lax: what looked like noise may be all there is.
  constexpr std::array<Rules, 4> kRules{{{true, {true, true}},
                                         {false, {true, true}},
                                         {false, {false, true}},
                                         {false, {false, false}}}};
  std::optional<Article> best;
  std::size_t most = 0;
  for (const Rules& rules : kRules) {
    Article article = Reading(page, hints, rules).run();
    const std::size_t characters = measure(article.tree, article.content).characters;
    if (!best || characters > most) {
      most = characters;
      best = std::move(article);
    }
    if (characters >= kEnoughCharacters) break;
  }
  return std::move(*best);
}

}  // namespace knap::extract::html
