#include <algorithm>
#include <unordered_set>

#include "knap/base/text.hpp"
#include "service_impl.hpp"

namespace knap::index {
namespace {

constexpr std::size_t kMentionsMax = 100;
constexpr std::size_t kNamesMax = 8;              // of one note
constexpr std::uint32_t kMentionSearchMax = 200;  // passages looked at for one name
constexpr std::size_t kPassagesMax = 256;         // of the note, for suggestions
constexpr std::size_t kNameBytesMin = 3;
constexpr std::size_t kContextBytesMax = 300;

/// Whether the text goes on with the word before or after `at`: Chinese and Japanese have no space
/// between words, so any place may part two of theirs.
bool joins_word(std::string_view text, std::size_t at) {
  if (at >= text.size()) return false;
  const char32_t c = text::decode(text, at);
  return text::is_alphanumeric(c) && !text::is_cjk(c);
}

std::size_t character_before(std::string_view text, std::size_t at) {
  do --at;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  return at;
}

/// Whether a folded line holds a folded name as words of their own, outside of [[links]].
bool names(std::string_view line, std::string_view name) {
  for (std::size_t at = line.find(name); at != std::string_view::npos;
       at = line.find(name, at + 1)) {
    const std::size_t end = at + name.size();
    const bool inside =
        (at > 0 && joins_word(line, character_before(line, at)) && joins_word(line, at)) ||
        (joins_word(line, end) && joins_word(line, character_before(line, end)));
    if (inside) continue;
    const std::size_t open = line.rfind("[[", at);
    const bool linked = open != std::string_view::npos && line.find("]]", open) > at;
    if (!linked) return true;
  }
  return false;
}

LinkView view_of(const LinkGraph::NoteRef& note, std::string_view line, std::uint32_t number) {
  return {text::repair_utf8(note.path), note.title,
          std::string(text::truncate(text::trim(line), kContextBytesMax)), number};
}

/// Calls visit(line, its number) for each line of a passage.
template <typename Visit>
void for_each_line(const store::PassageRecord& passage, Visit&& visit) {
  std::string_view rest = passage.text;
  for (std::uint32_t number = passage.first_line; !rest.empty(); ++number) {
    const std::size_t end = rest.find('\n');
    visit(rest.substr(0, end), number);
    if (end == std::string_view::npos) return;
    rest.remove_prefix(end + 1);
  }
}

/// Title, name and aliases, folded, each once.
std::vector<std::string> names_of(const store::LoadedNote& note) {
  std::vector<std::string> names{note.note.title, note.note.name};
  if (const auto meta = decode(note.note.meta))
    names.insert(names.end(), meta->aliases.begin(), meta->aliases.end());
  for (std::string& name : names) name = text::fold_case(text::trim(name));
  std::erase_if(names, [](const std::string& name) {
    return name.size() < kNameBytesMin || name.find('"') != std::string::npos;
  });
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (names.size() > kNamesMax) names.resize(kNamesMax);
  return names;
}

}  // namespace

Status ServiceImpl::find_unlinked(const Place& place, const std::vector<std::string>& names,
                                  Deadline deadline, const CancelToken& cancel,
                                  std::vector<LinkView>& out) const {
  const LinkGraph& graph = place.vault->graph;
  std::vector<store::PassageKey> keys;
  for (const std::string& name : names) {
    KNAP_CHECK_OK(still_wanted(cancel, deadline));
    search::Query query;
    query.text = '"' + name + '"';
    query.mode = search::Mode::kKeyword;
    query.group = search::Group::kPassage;
    query.limit = kMentionSearchMax;
    query.ranking = options_.ranking;
    KNAP_TRY(const auto found, place.vault->index.get()->search(query, deadline));
    for (const search::Hit& hit : found.hits) {
      const auto file = static_cast<store::FileId>(hit.note);
      if (file != place.entry.id) keys.push_back({file, hit.passage});
    }
  }
  KNAP_TRY(const auto rows, store_->passages(keys));
  std::unordered_set<std::string> seen;
  for (std::size_t i = 0; i < rows.size() && out.size() < kMentionsMax; ++i) {
    const auto note = graph.note(keys[i].file);
    if (!rows[i] || !note) continue;
    const auto links = graph.links_of(keys[i].file);
    if (std::find(links.begin(), links.end(), place.path) != links.end()) continue;
    for_each_line(rows[i]->passage, [&](std::string_view line, std::uint32_t number) {
      const std::string folded = text::fold_case(line);
      const bool named = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
        return index::names(folded, name);
      });
      if (named && out.size() < kMentionsMax &&
          seen.insert(note->path + '\n' + std::to_string(number)).second)
        out.push_back(view_of(*note, line, number));
    });
  }
  return {};
}

Status ServiceImpl::find_suggestions(const Place& place, const store::LoadedNote& note,
                                     std::vector<LinkView>& out) const {
  const LinkGraph& graph = place.vault->graph;
  const auto linked = graph.links_of(place.entry.id);
  std::unordered_set<std::string> done(linked.begin(), linked.end());
  done.insert(place.path);
  std::vector<store::PassageKey> keys;
  const std::size_t count = std::min(kPassagesMax, note.passages.size());
  for (std::uint32_t ordinal = 0; ordinal < count; ++ordinal)
    keys.push_back({place.entry.id, ordinal});
  KNAP_TRY(const auto rows, store_->passages(keys));
  const auto index = place.vault->index.get();
  for (const auto& row : rows) {
    if (!row) continue;
    for_each_line(row->passage, [&](std::string_view line, std::uint32_t number) {
      for (const search::NameMention& mention : index->names_in(line)) {
        for (const search::NoteId id : mention.notes) {
          const auto other = graph.note(static_cast<store::FileId>(id));
          if (!other || out.size() >= kMentionsMax || !done.insert(other->path).second) continue;
          out.push_back(view_of(*other, line, number));
        }
      }
    });
  }
  return {};
}

Result<MentionsView> ServiceImpl::mentions(std::string_view vault, std::string_view path,
                                           Deadline deadline, const CancelToken& cancel) const {
  KNAP_TRY(const Place place, find(vault, path));
  KNAP_TRY(const auto note, store_->note(place.entry.id));
  if (!note) return not_indexed(path, place.entry);
  MentionsView view{place.vault->config.name, text::repair_utf8(place.path), {}, {}};
  KNAP_CHECK_OK(find_unlinked(place, names_of(*note), deadline, cancel, view.unlinked));
  KNAP_CHECK_OK(still_wanted(cancel, deadline));
  KNAP_CHECK_OK(find_suggestions(place, *note, view.suggestions));
  return view;
}

}  // namespace knap::index
