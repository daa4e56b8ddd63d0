#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "documents.hpp"
#include "knap/base/file.hpp"
#include "knap/base/text.hpp"
#include "service_impl.hpp"

namespace knap::index {
namespace {

constexpr std::size_t kBacklinksMax = 1'000;
constexpr std::size_t kContextBytesMax = 300;
constexpr std::uint32_t kRelatedMax = 100;
constexpr std::uint32_t kRelatedCandidates = 4;  // times the limit
constexpr std::size_t kRelatedPassagesMax = 64;  // of the note, for its mean vector
constexpr std::size_t kRelatedTerms = 12;
constexpr std::size_t kRelatedTextBytesMax = 32U << 10;
constexpr float kDirectLinkBonus = 0.15F;
constexpr float kSharedLinkBonus = 0.03F;  // for each note both link to
constexpr float kSharedLinkBonusMax = 0.12F;

/// The line `wanted` (1-based) of a text that begins at line `first`.
std::string_view line_of(std::string_view text, std::uint32_t first, std::uint32_t wanted) {
  for (std::uint32_t line = first; line < wanted; ++line) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  return text.substr(0, text.find('\n'));
}

/// The note's rarest words, best first: what it is about.
std::string rare_words(const search::Index& index, const store::LoadedNote& note) {
  std::string text = note.note.title;
  for (const store::LoadedPassage& passage : note.passages) {
    if (text.size() > kRelatedTextBytesMax) break;
    text += '\n' + passage.plain;
  }
  std::unordered_map<std::string, std::uint32_t> counts;
  for (std::string& word : search::analyse(text, note.note.language)) ++counts[std::move(word)];
  std::vector<std::pair<float, std::string>> ranked;
  for (auto& [word, count] : counts) {
    const float weight =
        index.inverse_document_frequency(word) * std::log1p(static_cast<float>(count));
    ranked.emplace_back(weight, word);
  }
  const std::size_t kept = std::min(kRelatedTerms, ranked.size());
  std::partial_sort(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(kept),
                    ranked.end(), std::greater<>());
  std::string words = note.note.title;
  for (std::size_t i = 0; i < kept; ++i) words += ' ' + ranked[i].second;
  return words;
}

}  // namespace

Error not_indexed(std::string_view path, const LedgerEntry& entry) {
  return make_error(ErrorCode::kNotFound,
                    "the note " + std::string(path) + " is not indexed: " +
                        (entry.reason.empty() ? "not read yet" : entry.reason));
}

Result<ServiceImpl::Place> ServiceImpl::find(std::string_view vault, std::string_view path) const {
  bool known_vault = vault.empty();
  for (const auto& candidate : vaults_) {
    if (!vault.empty() && candidate->config.name != vault) continue;
    known_vault = true;
    const auto real = candidate->ledger.find_path(path);
    if (!real) continue;
    const auto entry = candidate->ledger.find(*real);
    if (entry) return Place{candidate.get(), *real, *entry};
  }
  if (!known_vault)
    return make_error(ErrorCode::kNotFound, "there is no vault named " + std::string(vault));
  return make_error(ErrorCode::kNotFound, "there is no note " + std::string(path));
}

Result<NoteView> ServiceImpl::note(std::string_view vault, std::string_view path) const {
  KNAP_TRY(const Place place, find(vault, path));
  KNAP_TRY(auto stored, store_->note(place.entry.id));
  if (!stored) return not_indexed(path, place.entry);
  KNAP_TRY(NoteMeta meta, decode(stored->note.meta));
  NoteView view;
  view.vault = place.vault->config.name;
  view.path = text::repair_utf8(place.path);
  view.title = std::move(stored->note.title);
  view.language = std::move(stored->note.language);
  view.aliases = std::move(meta.aliases);
  view.tags = split_lines(stored->note.tags);
  view.modified_s = place.entry.fingerprint.mtime_ns / 1'000'000'000;
  view.properties = std::move(meta.properties);
  view.headings = std::move(meta.headings);
  // Without a hash it is an attachment: its bytes are no text.
  if (!place.entry.hash) return view;
  if (const DocumentReader* reader = find_reader(options_.documents, place.path)) {
    KNAP_TRY(const auto kept, store_->extraction(*place.entry.hash, {reader->id, reader->version}));
    const auto extracted = kept ? decode_extracted(*kept) : Result<Extracted>(Extracted{});
    if (extracted && extracted->document)
      view.text = note_of(text::nfc(place.path), *extracted->document).text;
  } else {
    KNAP_TRY(const std::string bytes,
             read_file(place.vault->config.root / place.path, options_.max_file_bytes));
    view.text = text::repair_utf8(bytes);
  }
  return view;
}

std::string ServiceImpl::link_context(store::FileId file, std::uint32_t line) const {
  const auto ordinal = store_->passage_at(file, line);
  if (!ordinal || !*ordinal) return {};
  const store::PassageKey key{file, **ordinal};
  const auto rows = store_->passages(std::span(&key, 1));
  if (!rows || !rows->front()) return {};
  const store::PassageRecord& passage = rows->front()->passage;
  const std::string_view context = text::trim(line_of(passage.text, passage.first_line, line));
  return std::string(text::truncate(context, kContextBytesMax));
}

Result<LinksView> ServiceImpl::links(std::string_view vault, std::string_view path) const {
  KNAP_TRY(const Place place, find(vault, path));
  KNAP_TRY(const auto stored, store_->note(place.entry.id));
  if (!stored) return not_indexed(path, place.entry);
  LinksView view;
  view.vault = place.vault->config.name;
  view.path = text::repair_utf8(place.path);
  KNAP_TRY(const NoteMeta meta, decode(stored->note.meta));
  const LinkGraph& graph = place.vault->graph;
  for (const vault::Link& link : meta.links) {
    if (link.target.empty()) continue;  // a place in the note itself
    LinkView out;
    out.line = link.line;
    out.title = link.target;
    if (const auto target = graph.resolve(link.target, place.path)) {
      out.path = text::repair_utf8(*target);
      if (const auto ref = graph.note(*target); ref && !ref->title.empty()) out.title = ref->title;
    }
    out.context = link_context(place.entry.id, link.line);
    view.links.push_back(std::move(out));
  }
  for (const LinkGraph::Backlink& link : graph.backlinks(place.entry.id, kBacklinksMax)) {
    const auto from = graph.note(link.from);
    if (!from || link.from == place.entry.id) continue;
    view.backlinks.push_back({text::repair_utf8(from->path), from->title,
                              link_context(link.from, link.line), link.line});
  }
  std::sort(view.backlinks.begin(), view.backlinks.end(), [](const LinkView& a, const LinkView& b) {
    return std::tie(a.path, a.line) < std::tie(b.path, b.line);
  });
  return view;
}

/// What stands for a whole note in a search: the mean of its vectors, or its rarest words.
Result<search::Query> ServiceImpl::query_like(const Place& place) const {
  search::Query query;
  query.ranking = options_.ranking;
  query.mode = search::Mode::kKeyword;
  KNAP_TRY(const auto note, store_->note(place.entry.id));
  if (!note) return query;
  const auto index = place.vault->index.get();
  query.text = rare_words(*index, *note);
  const EmbedQueue::Model model = embed_queue_->serving();
  if (!model.embedder) return query;
  std::vector<Hash128> hashes;
  for (const store::LoadedPassage& passage : note->passages) {
    if (hashes.size() < kRelatedPassagesMax) hashes.push_back(passage.hash);
  }
  std::vector<float> mean(model.embedder->dimensions());
  KNAP_CHECK_OK(
      store_->embeddings(model.key, hashes, [&](std::size_t, std::span<const std::int8_t> values) {
        if (values.size() != mean.size()) return;
        for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += static_cast<float>(values[i]);
      }));
  float length = 0;
  for (const float value : mean) length += value * value;
  if (length <= 0) return query;
  for (float& value : mean) value /= std::sqrt(length);
  query.embedding = std::move(mean);
  query.space = model.space;
  query.ranking.model_languages = languages_of(*model.embedder);
  query.mode = search::Mode::kHybrid;
  return query;
}

Result<std::vector<SearchHit>> ServiceImpl::related(std::string_view vault, std::string_view path,
                                                    std::uint32_t limit) {
  if (limit == 0 || limit > kRelatedMax)
    return make_error(ErrorCode::kInvalidArgument, "limit must be 1 to 100");
  KNAP_TRY(const Place place, find(vault, path));
  KNAP_TRY(search::Query query, query_like(place));
  query.limit = limit * kRelatedCandidates + 1;
  std::vector<SearchHit> hits;
  if (!query.text.empty()) {
    KNAP_TRY(const auto result, place.vault->index.get()->search(query, Deadline::never()));
    for (const search::Hit& hit : result.hits) {
      if (static_cast<store::FileId>(hit.note) != place.entry.id) hits.push_back({{}, hit});
    }
  }
  const LinkGraph& graph = place.vault->graph;
  const auto own_links = graph.links_of(place.entry.id);
  const std::unordered_set<std::string> linked(own_links.begin(), own_links.end());
  std::unordered_set<store::FileId> linking;
  for (const auto& link : graph.backlinks(place.entry.id, kBacklinksMax)) linking.insert(link.from);
  for (SearchHit& hit : hits) {
    const auto id = static_cast<store::FileId>(hit.hit.note);
    const auto ref = graph.note(id);
    float bonus = 0;
    if (linking.contains(id) || (ref && linked.contains(ref->path))) bonus += kDirectLinkBonus;
    float shared = 0;
    for (const std::string& target : graph.links_of(id))
      shared += linked.contains(target) ? kSharedLinkBonus : 0;
    bonus += std::min(shared, kSharedLinkBonusMax);
    hit.hit.score = std::min(1.0F, hit.hit.score + bonus);
  }
  std::stable_sort(hits.begin(), hits.end(), [](const SearchHit& a, const SearchHit& b) {
    return a.hit.score > b.hit.score;
  });
  if (hits.size() > limit) hits.resize(limit);
  KNAP_CHECK_OK(fill_hits(hits));
  return hits;
}

}  // namespace knap::index
