#include <algorithm>

#include <fmt/format.h>

#include "knap/base/text.hpp"
#include "knap/observe/trace.hpp"
#include "sentence_rerank.hpp"
#include "service_impl.hpp"

namespace knap::index {
namespace {

constexpr std::uint32_t kLimitMax = 1'000;
constexpr std::size_t kQueryBytesMax = 64U << 10;
// A slow model must leave time for the words: the query's embedding gets this share of what is
// left.
constexpr double kEmbedShare = 0.6;

std::uint64_t micros(SteadyClock::duration duration) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(duration).count());
}

double milliseconds(std::chrono::duration<double, std::milli> duration) { return duration.count(); }

/// Corrections as people read them: the words of the results in place of stems, those that no
/// result holds left out.
std::vector<Correction> show_corrections(const std::vector<search::Correction>& made,
                                         const std::vector<SearchHit>& hits) {
  std::vector<Correction> shown;
  for (const search::Correction& correction : made) {
    Correction one{correction.from, {}};
    for (const std::string& term : correction.to) {
      for (const SearchHit& hit : hits) {
        const std::string text = hit.passage.title + "\n" + hit.passage.plain;
        const std::string_view word = search::find_word(text, term, hit.passage.language);
        if (word.empty()) continue;
        std::string folded = text::fold_case(word);
        if (std::find(one.to.begin(), one.to.end(), folded) == one.to.end())
          one.to.push_back(std::move(folded));
        break;
      }
    }
    const bool told = std::any_of(shown.begin(), shown.end(),
                                  [&](const Correction& other) { return other.from == one.from; });
    if (!one.to.empty() && !told) shown.push_back(std::move(one));
  }
  return shown;
}

}  // namespace

PassageView view_of(store::PassageRow row, const std::string& vault) {
  PassageView view;
  view.vault = vault;
  view.path = text::repair_utf8(row.path);
  view.title = std::move(row.title);
  view.note_name = std::move(row.name);
  view.language = std::move(row.language);
  view.block = std::move(row.passage.block);
  view.headings = split_lines(row.passage.headings);
  view.tags = split_lines(row.tags);
  view.lines = {row.passage.first_line, row.passage.last_line};
  view.place = row.passage.place;
  view.text = std::move(row.passage.text);
  view.plain = std::move(row.passage.plain);
  view.modified_s = row.mtime_ns / 1'000'000'000;
  view.hash = row.passage.hash;
  return view;
}

/// As RankingSettings::model_languages says: none means all.
std::vector<std::string> languages_of(const models::Embedder& embedder) {
  auto languages = embedder.languages();
  if (std::find(languages.begin(), languages.end(), "*") != languages.end()) languages.clear();
  return languages;
}

/// Alone, at the pace of work that nobody waits for.
Result<std::vector<float>> ServiceImpl::embed_in_background(models::Embedder& embedder,
                                                            const std::string& text,
                                                            Deadline deadline,
                                                            const CancelToken& cancel) {
  KNAP_TRY(const auto lease,
           leases_.acquire(service::Lane::kBackground, embedder.query_threads(), deadline, cancel));
  KNAP_TRY(auto result, embedder.embed(std::span(&text, 1), models::InputKind::kQuery,
                                       models::Priority::kBackground, deadline, cancel));
  if (result.values.size() != embedder.dimensions())
    return make_error(ErrorCode::kCorruptData, "the model gave a vector of another size");
  return std::move(result.values);
}

std::uint64_t ServiceImpl::embed_query(const SearchRequest& request, Deadline deadline,
                                       const CancelToken& cancel, SearchOutcome& outcome) {
  if (request.mode == search::Mode::kKeyword || text::trim(request.text).empty()) return 0;
  const EmbedQueue::Model model = embed_queue_->serving();
  const auto& embedder = model.embedder;
  const auto degrade = [&](std::string_view reason) -> std::uint64_t {
    outcome.degraded.push_back(fmt::format("semantic: {}", reason));
    outcome.repeatable = false;
    return 0;
  };
  if (!embedder) {
    const std::string state = embed_queue_->state();
    degrade(state);
    outcome.repeatable = state == kNoModel;
    return 0;
  }
  const auto begin = SteadyClock::now();
  Deadline until = deadline;
  if (!deadline.is_never()) {
    const auto share = std::chrono::duration<double>(deadline.remaining()) * kEmbedShare;
    until = Deadline::after(std::chrono::duration_cast<SteadyClock::duration>(share));
  }
  const auto usual = embed_pace_.usual();
  if (!deadline.is_never() && usual > until.remaining()) {
    embed_pace_.skipped();
    return degrade(fmt::format(
        "the deadline leaves {:.1f} ms for the query's vector, which takes {:.1f} ms here",
        milliseconds(until.remaining()), milliseconds(usual)));
  }
  auto vector = request.background ? embed_in_background(*embedder, request.text, until, cancel)
                                   : batcher_.embed(embedder, request.text, until, cancel);
  const auto took = std::chrono::microseconds(micros(SteadyClock::now() - begin));
  outcome.stages.push_back({"embed", took, vector ? 1U : 0U});
  if (!vector) {
    if (vector.error().code == ErrorCode::kDeadlineExceeded) embed_pace_.exceeded(took);
    return degrade(vector.error().message);
  }
  embed_pace_.learn(took);
  outcome.embedding = *std::move(vector);
  outcome.embedder = embedder;
  return model.space;
}

Status ServiceImpl::search_vaults(const std::vector<VaultState*>& vaults,
                                  const search::Query& query, Deadline deadline,
                                  SearchOutcome& outcome,
                                  std::vector<search::Correction>& corrections,
                                  bool& other_space) const {
  std::uint64_t files = 0, settled = 0, with_vector = 0;
  outcome.epoch = outcome.notes = outcome.passages = 0;
  bool unknown = false;  // a vault of which nothing is known before its first walk
  for (VaultState* vault : vaults) {
    const auto index = vault->index.get();
    KNAP_TRY(search::SearchResult result, index->search(query, deadline));
    other_space = other_space || result.other_space;
    for (search::Hit& hit : result.hits) outcome.hits.push_back({{}, std::move(hit)});
    outcome.repeatable = outcome.repeatable && result.degraded.empty() && !result.other_space;
    for (std::string& reason : result.degraded) {
      if (std::find(outcome.degraded.begin(), outcome.degraded.end(), reason) ==
          outcome.degraded.end()) {
        outcome.degraded.push_back(std::move(reason));
      }
    }
    outcome.stages.insert(outcome.stages.end(), result.stages.begin(), result.stages.end());
    if (outcome.terms.empty()) outcome.terms = std::move(result.terms);
    std::move(result.corrections.begin(), result.corrections.end(),
              std::back_inserter(corrections));
    outcome.ran = result.ran;
    outcome.epoch += result.epoch;
    const search::IndexStats stats = vault->index.stats_at(result.epoch);
    outcome.notes += stats.notes;
    outcome.passages += stats.passages;
    with_vector += stats.passages_with_vector;
    const LedgerCounts counts = vault->ledger.counts();
    files += counts.total();
    settled += counts.total() - counts.of(FileState::kPending) - counts.of(FileState::kStale);
    unknown = unknown || (counts.total() == 0 && !vault->walked);
  }
  const auto share = [unknown](std::uint64_t part, std::uint64_t whole) {
    if (unknown) return 0.0;
    return whole == 0 ? 1.0 : static_cast<double>(part) / static_cast<double>(whole);
  };
  outcome.keyword_coverage = share(settled, files);
  outcome.semantic_coverage = share(with_vector, outcome.passages);
  return {};
}

/// False when a hit's row is gone: the store is one batch ahead of the index, which follows at
/// once.
Result<bool> ServiceImpl::fill_hits(std::vector<SearchHit>& hits) const {
  const auto begin = SteadyClock::now();
  std::vector<store::PassageKey> keys;
  keys.reserve(hits.size());
  for (const SearchHit& hit : hits)
    keys.push_back({static_cast<store::FileId>(hit.hit.note), hit.hit.passage});
  KNAP_TRY(auto rows, store_->passages(keys));
  bool complete = true;
  std::vector<SearchHit> filled;
  filled.reserve(hits.size());
  for (std::size_t i = 0; i < hits.size(); ++i) {
    if (!rows[i]) {
      // An attachment has a name and a title, but no passage.
      const auto note = store_->note(keys[i].file);
      if (!note || !*note || !(*note)->passages.empty()) {
        complete = false;
        continue;
      }
    }
    SearchHit hit = std::move(hits[i]);
    for (const auto& vault : vaults_) {
      if (rows[i]) {
        if (vault->id == rows[i]->vault)
          hit.passage = view_of(std::move(*rows[i]), vault->config.name);
      } else if (const auto ref = vault->graph.note(keys[i].file)) {
        const auto entry = vault->ledger.find(ref->path);
        hit.passage.vault = vault->config.name;
        hit.passage.path = text::repair_utf8(ref->path);
        hit.passage.title = ref->title;
        hit.passage.note_name = ref->title;
        hit.passage.modified_s = entry ? entry->fingerprint.mtime_ns / 1'000'000'000 : 0;
      }
      if (!hit.passage.vault.empty()) break;
    }
    if (!hit.passage.vault.empty()) filled.push_back(std::move(hit));
  }
  hits = std::move(filled);
  fetch_seconds_.record(SteadyClock::now() - begin);
  return complete;
}

Result<SearchOutcome> ServiceImpl::search(const SearchRequest& request, Deadline deadline,
                                          const CancelToken& cancel) {
  if (request.limit == 0 || request.limit > kLimitMax) {
    return make_error(ErrorCode::kInvalidArgument, "limit must be 1 to 1000");
  }
  if (request.text.size() > kQueryBytesMax)
    return make_error(ErrorCode::kInvalidArgument, "the query is too long");
  KNAP_TRY(const auto vaults, wanted_vaults(request.vaults));
  KNAP_CHECK_OK(still_wanted(cancel, deadline));
  if (request.mode != search::Mode::kKeyword) recent_.add(std::string(text::trim(request.text)));
  const auto begin = SteadyClock::now();
  auto outcome = search_in(vaults, request, deadline, cancel);
  if (outcome) record_stages(*outcome, begin);
  return outcome;
}

void ServiceImpl::record_stages(const SearchOutcome& outcome, SteadyClock::time_point begin) const {
  for (const search::Stage& stage : outcome.stages) {
    observe::trace_stage("search." + stage.name, begin, stage.took);
    begin += stage.took;  // one after another
    metrics_
        .histogram("knap_search_stage_seconds", "Time of one stage of a search",
                   {{"stage", stage.name}})
        .record(stage.took);
  }
  if (!outcome.degraded.empty())
    metrics_.counter("knap_search_degraded_total", "Searches that left a stage out").add();
}

Result<SearchOutcome> ServiceImpl::search_in(const std::vector<VaultState*>& vaults,
                                             const SearchRequest& request, Deadline deadline,
                                             const CancelToken& cancel) {
  // Again where a row went away meanwhile, or the model changed between embedding and search.
  constexpr int kTries = 3;
  SearchOutcome embedded;
  search::Query query;
  bool embed = true;
  for (int attempt = 1;; ++attempt) {
    if (embed) {
      embedded = {};
      const std::uint64_t space = embed_query(request, deadline, cancel, embedded);
      query = query_of(request, embedded, space);
    }
    KNAP_CHECK_OK(still_wanted(cancel, deadline));
    SearchOutcome outcome = embedded;
    std::vector<search::Correction> corrections;
    bool other_space = false;
    KNAP_CHECK_OK(search_vaults(vaults, query, deadline, outcome, corrections, other_space));
    const bool last = attempt == kTries;
    if (other_space && !last) {
      embed_queue_->wait_swapped();
      embed = true;
      continue;
    }
    embed = false;
    KNAP_TRY(const bool complete, order_hits(vaults, request, outcome));
    if (request.mode != search::Mode::kKeyword && model_rerank_.depth() > 0)
      model_rerank_.run(request.text, request.background, deadline, cancel, outcome);
    if (outcome.hits.size() > request.limit) outcome.hits.resize(request.limit);
    outcome.corrections = show_corrections(corrections, outcome.hits);
    outcome.repeatable = outcome.repeatable && complete;
    if (complete || last) return outcome;
  }
}

Result<bool> ServiceImpl::order_hits(const std::vector<VaultState*>& vaults,
                                     const SearchRequest& request, SearchOutcome& outcome) const {
  std::stable_sort(
      outcome.hits.begin(), outcome.hits.end(),
      [](const SearchHit& a, const SearchHit& b) { return a.hit.score > b.hit.score; });
  // More than asked for where a stage below may change their order.
  const bool hybrid = outcome.ran == search::Mode::kHybrid;
  const std::size_t wanted = std::max(request.limit, reranked_count(request, hybrid));
  if (outcome.hits.size() > wanted) outcome.hits.resize(wanted);
  const auto begin = SteadyClock::now();
  KNAP_TRY(const bool complete, fill_hits(outcome.hits));
  const auto took = std::chrono::microseconds(micros(SteadyClock::now() - begin));
  outcome.stages.push_back({"fetch", took, outcome.hits.size()});
  if (hybrid && options_.ranking.sentence_weight > 0) rerank(vaults, request, outcome);
  return complete;
}

void ServiceImpl::rerank(const std::vector<VaultState*>& vaults, const SearchRequest& request,
                         SearchOutcome& outcome) const {
  const auto begin = SteadyClock::now();
  rerank_by_sentences(outcome.hits, request.text, options_.ranking.sentence_weight,
                      [&](const SearchHit& hit, std::string_view term) {
                        for (const VaultState* vault : vaults)
                          if (vault->config.name == hit.passage.vault)
                            return vault->index.get()->inverse_document_frequency(term);
                        return 0.0F;
                      });
  outcome.stages.push_back({"sentences",
                            std::chrono::microseconds(micros(SteadyClock::now() - begin)),
                            std::min<std::size_t>(outcome.hits.size(), kRerankedHits)});
}

std::uint32_t ServiceImpl::reranked_count(const SearchRequest& request, bool with_vectors) const {
  const bool sentences = with_vectors && options_.ranking.sentence_weight > 0;
  const std::uint32_t by_model = request.mode == search::Mode::kKeyword ? 0 : model_rerank_.depth();
  return std::max(sentences ? kRerankedHits : 0U, by_model);
}

/// Threads that nobody above or beside a search computes with now.
Helpers ServiceImpl::free_helpers() const {
  if (!search_helpers_) return {};
  const auto usage = leases_.usage();
  const std::size_t used = 1 + usage.interactive + usage.generation + usage.background;
  return {search_helpers_.get(), usage.cores > used ? usage.cores - used : 0};
}

search::Query ServiceImpl::query_of(const SearchRequest& request, const SearchOutcome& outcome,
                                    std::uint64_t space) const {
  search::Query query;
  query.text = request.text;
  query.filter = request.filter;
  query.group = request.group;
  query.limit = std::max(request.limit, reranked_count(request, !outcome.embedding.empty()));
  query.explain = request.explain;
  query.ranking = options_.ranking;
  query.helpers = free_helpers();
  query.embedding = outcome.embedding;
  query.space = space;
  query.mode =
      request.mode == search::Mode::kSemantic ? search::Mode::kSemantic : search::Mode::kHybrid;
  if (outcome.embedding.empty()) query.mode = search::Mode::kKeyword;
  if (outcome.embedder) query.ranking.model_languages = languages_of(*outcome.embedder);
  return query;
}

}  // namespace knap::index
