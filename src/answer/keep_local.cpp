#include "keep_local.hpp"

#include <algorithm>

#include "knap/base/text.hpp"

namespace knap::answer {
namespace {

bool covers(std::string_view label, std::string_view tag) {
  if (label.starts_with('#')) label.remove_prefix(1);
  if (label.empty()) return false;
  return tag == label || (tag.starts_with(label) && tag[label.size()] == '/');
}

bool has_label(const index::PassageView& passage, const std::vector<std::string>& labels) {
  return std::ranges::any_of(passage.tags, [&](const std::string& tag) {
    const std::string folded = text::fold(tag);
    return std::ranges::any_of(
        labels, [&](const std::string& label) { return covers(text::fold(label), folded); });
  });
}

bool below(const index::PassageView& passage, std::string_view folder) {
  if (const std::size_t colon = folder.find(':'); colon != std::string_view::npos) {
    if (folder.substr(0, colon) != passage.vault) return false;
    folder.remove_prefix(colon + 1);
    if (folder.empty()) return true;  // the whole vault
  }
  while (folder.ends_with('/')) folder.remove_suffix(1);
  if (folder.empty()) return false;
  const std::string_view path = passage.path;
  return path == folder || (path.starts_with(folder) && path[folder.size()] == '/');
}

}  // namespace

models::Reach reach_of(const std::vector<Quote>& quotes, const std::vector<index::SearchHit>& hits,
                       const LocalOnly& rules) {
  for (const Quote& quote : quotes) {
    bool known = false;
    for (const index::SearchHit& hit : hits) {
      const index::PassageView& passage = hit.passage;
      if (passage.vault != quote.citation.vault || passage.path != quote.citation.path) continue;
      known = true;
      const bool kept = has_label(passage, rules.tags) ||
                        std::ranges::any_of(rules.folders, [&](const std::string& folder) {
                          return below(passage, folder);
                        });
      if (kept) return models::Reach::kThisMachine;
    }
    // Where a quote is from is always known; if that ever breaks, nothing leaves.
    if (!known) return models::Reach::kThisMachine;
  }
  return models::Reach::kAnywhere;
}

std::vector<models::NotePart> parts_of(const std::vector<Quote>& quotes) {
  std::vector<models::NotePart> out;
  out.reserve(quotes.size());
  for (const Quote& quote : quotes)
    out.push_back({quote.citation.vault, quote.citation.path, quote.citation.lines.first,
                   quote.citation.lines.last});
  return out;
}

}  // namespace knap::answer
