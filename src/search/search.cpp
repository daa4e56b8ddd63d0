#include <algorithm>
#include <atomic>
#include <limits>
#include <numeric>
#include <optional>

#include "dense.hpp"
#include "filter_links.hpp"
#include "filter_tree.hpp"
#include "fusion.hpp"
#include "phrase.hpp"
#include "state.hpp"
#include "top_notes.hpp"
#include "typos.hpp"

namespace knap::search {
namespace {

/// Notes computed again in float: enough that int8 rounding never decides the first hundred.
constexpr std::uint32_t kRescoredMin = 64;

/// Smaller indexes are searched by one thread: waking another costs as much as it would save.
constexpr std::uint32_t kSharedRowsMin = 50'000;

/// How much a word counts that was looked up in a misspelt one's place.
constexpr float kSlipShare = 0.8F, kTwoSlipsShare = 0.6F;
/// Each costs a look through part of the dictionary.
constexpr std::size_t kCorrectedWordsMax = 4;

class StageClock {
 public:
  explicit StageClock(std::vector<Stage>& stages) : stages_(stages) {}
  /// @param before  spent on the stage before its clock began, by several threads together
  void finish(std::string name, std::uint64_t candidates, std::chrono::microseconds before = {}) {
    const auto now = SteadyClock::now();
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(now - begin_);
    stages_.push_back({std::move(name), took + before, candidates});
    begin_ = now;
  }
  void skip() { begin_ = SteadyClock::now(); }

 private:
  std::vector<Stage>& stages_;
  SteadyClock::time_point begin_ = SteadyClock::now();
};

class Search {
 public:
  Search(const State& state, const Query& query, std::uint32_t words_max, Deadline deadline)
      : state_(state), query_(query), words_max_(words_max), deadline_(deadline) {}

  Result<SearchResult> run();

 private:
  Status check() const;
  void choose_candidates();
  void weigh_words();
  std::uint64_t correct(const QueryWord& word, WeightedWord& weighted);
  void score_keywords(std::size_t segment);
  std::uint64_t count_keyword_notes() const;
  DenseScores score_together(StageClock& clock);
  DenseScores score_alone() const;
  /// Passages are scored apart from their notes' others: no estimate will do for them.
  std::uint32_t estimated_from() const {
    return query_.group == Group::kPassage ? std::numeric_limits<std::uint32_t>::max()
                                           : query_.ranking.estimated_from;
  }
  std::uint32_t rescored_count() const { return std::max(kRescoredMin, query_.limit * 2); }
  bool choose_dense();
  std::uint64_t candidate_count() const;

  const State& state_;
  const Query& query_;
  const std::uint32_t words_max_;
  const Deadline deadline_;
  SearchResult result_;
  QueryTerms terms_;
  std::vector<std::optional<NoteSet>> sets_;
  std::vector<const NoteSet*> candidates_;
  std::vector<KeywordScores> keyword_;
  std::optional<KeywordScorer> scorer_;
  float unknown_share_ = 0;
};

Status Search::check() const {
  if (query_.limit == 0) return make_error(ErrorCode::kInvalidArgument, "limit must be at least 1");
  if (!query_.embedding.empty() && query_.space == state_.vectors->space &&
      query_.embedding.size() != state_.vectors->dimensions) {
    return make_error(ErrorCode::kInvalidArgument,
                      "the query's embedding has " + std::to_string(query_.embedding.size()) +
                          " values, the index " + std::to_string(state_.vectors->dimensions));
  }
  if (deadline_.expired())
    return make_error(ErrorCode::kDeadlineExceeded, "the deadline passed before the search began");
  return {};
}

/// One bit a note where deletions, the filter or a quoted phrase leave any out.
void Search::choose_candidates() {
  GraphSets graph;
  const Filter::Node* root = query_.filter ? &query_.filter->root() : nullptr;
  if (root != nullptr && root->kind == FilterKind::kAll) root = nullptr;
  if (root != nullptr && has_link_terms(*root))
    graph = find_graph_sets(*root, *state_.links.get(state_.segments));
  sets_.resize(state_.segments.size());
  candidates_.assign(state_.segments.size(), nullptr);
  for (std::size_t s = 0; s < state_.segments.size(); ++s) {
    const SegmentView& view = state_.segments[s];
    if (root == nullptr && terms_.phrases.empty() && view.deleted_count == 0) continue;
    const Segment& segment = *view.segment;
    if (root == nullptr && terms_.phrases.empty()) {
      candidates_[s] = &sets_[s].emplace(view.deleted->without(segment.note_count()));
      continue;
    }
    std::vector<NoteSet> phrases;
    for (const QueryPhrase& phrase : terms_.phrases)
      phrases.push_back(find_phrase(segment, phrase));
    NoteSet& set = sets_[s].emplace(segment.note_count());
    for (std::uint32_t note = 0; note < segment.note_count(); ++note) {
      if (!view.live(note)) continue;
      if (!std::all_of(phrases.begin(), phrases.end(),
                       [&](const NoteSet& p) { return p.test(note); }))
        continue;
      if (root == nullptr || evaluate(*root, *segment.facts[note], &graph)) set.set(note);
    }
    candidates_[s] = &set;
  }
}

std::uint64_t Search::candidate_count() const {
  std::uint64_t count = 0;
  for (std::size_t s = 0; s < state_.segments.size(); ++s) {
    count += candidates_[s] == nullptr ? state_.segments[s].segment->note_count()
                                       : candidates_[s]->count();
  }
  return count;
}

void Search::weigh_words() {
  std::vector<WeightedWord> words;
  float all = 0, unknown = 0;
  for (const QueryWord& word : terms_.words) {
    std::uint64_t with_term = 0, with_prefix = 0;
    WeightedWord weighted{.word = &word};
    for (const SegmentView& view : state_.segments) {
      weighted.held.push_back(held_variants(*view.segment, word.variants));
      for (const HeldVariant& variant : weighted.held.back())
        with_term += view.segment->terms[variant.term].notes;
    }
    weighted.idf = bm25_idf(state_.totals.notes, with_term);
    if (!word.prefix.empty()) {
      for (const SegmentView& view : state_.segments) {
        weighted.expansions.push_back(expand_prefix(*view.segment, word.prefix));
        for (const Expansion& expansion : weighted.expansions.back())
          with_prefix += view.segment->terms[expansion.term].notes;
      }
    }
    all += weighted.idf * word.weight;
    if (with_term + with_prefix == 0) {
      unknown += weighted.idf * word.weight;
      with_prefix = correct(word, weighted);
    }
    weighted.expansion_idf = bm25_idf(state_.totals.notes, with_term + with_prefix);
    words.push_back(std::move(weighted));
  }
  unknown_share_ = all > 0 ? unknown / all : 0;
  scorer_.emplace(query_.ranking, state_.totals, std::move(words));
}

/// A word that no note holds may be a slip: the nearest words that notes do hold take its place.
/// @return the notes that hold them
std::uint64_t Search::correct(const QueryWord& word, WeightedWord& weighted) {
  if (word.written.empty() || !terms_.phrases.empty() ||
      result_.corrections.size() >= kCorrectedWordsMax)
    return 0;
  const std::vector<NearTerm> near = find_near_terms(state_, word.shown);
  if (near.empty()) return 0;
  std::uint64_t notes = 0;
  weighted.expansions.assign(state_.segments.size(), {});
  Correction correction{word.written, {}};
  for (const NearTerm& one : near) {
    for (std::size_t s = 0; s < state_.segments.size(); ++s) {
      if (const std::int64_t term = state_.segments[s].segment->find(one.term); term >= 0)
        weighted.expansions[s].push_back(
            {static_cast<std::uint32_t>(term), one.distance > 1 ? kTwoSlipsShare : kSlipShare});
    }
    notes += one.notes;
    correction.to.push_back(one.term);
    result_.terms.push_back(one.term);
  }
  result_.corrections.push_back(std::move(correction));
  return notes;
}

/// All notes' scores: the other leg needs each of them, and so does an explanation.
void Search::score_keywords(std::size_t s) {
  scorer_->score(s, *state_.segments[s].segment, candidates_[s], query_.explain, keyword_[s]);
}

std::uint64_t Search::count_keyword_notes() const {
  std::uint64_t found = 0;
  for (const KeywordScores& scores : keyword_)
    found += static_cast<std::uint64_t>(
        std::count_if(scores.notes.begin(), scores.notes.end(), [](float v) { return v > 0; }));
  return found;
}

/// Both legs beside each other, in parts: in a large index, where threads are free.
DenseScores Search::score_together(StageClock& clock) {
  using Micros = std::chrono::microseconds;
  DenseSearch dense(state_, query_.embedding, candidates_, estimated_from());
  const std::size_t segments = state_.segments.size();
  keyword_.resize(segments);
  std::vector<std::size_t> order(segments);  // the largest first: nobody waits for it at the end
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return state_.segments[a].segment->note_count() > state_.segments[b].segment->note_count();
  });
  std::atomic<std::int64_t> keyword_us = 0, dense_us = 0;
  fan_out(query_.helpers, segments + dense.parts(), [&](std::size_t part) {
    const auto begin = SteadyClock::now();
    if (part < segments) {
      score_keywords(order[part]);
    } else {
      dense.scan(part - segments);
    }
    (part < segments ? keyword_us : dense_us) +=
        std::chrono::duration_cast<Micros>(SteadyClock::now() - begin).count();
  });
  result_.stages.push_back({"keyword", Micros(keyword_us), count_keyword_notes()});
  clock.skip();
  DenseScores scores = dense.finish(rescored_count(), query_.helpers);
  clock.finish("dense", scores.candidates, Micros(dense_us));
  return scores;
}

DenseScores Search::score_alone() const {
  DenseSearch dense(state_, query_.embedding, candidates_, estimated_from());
  for (std::size_t part = 0; part < dense.parts(); ++part) dense.scan(part);
  return dense.finish(rescored_count(), {});
}

/// Whether the dense leg runs; says why not.
bool Search::choose_dense() {
  if (query_.mode == Mode::kKeyword) return false;
  const auto skip = [&](const char* reason) {
    result_.degraded.emplace_back(std::string("dense: ") + reason);
    return false;
  };
  if (query_.embedding.empty())
    return query_.mode == Mode::kAuto ? false : skip("the query has no embedding");
  if (query_.space != state_.vectors->space) {
    result_.other_space = true;
    return skip("the query's embedding is another model's");
  }
  if (state_.vectors->row_count == 0)
    return query_.mode == Mode::kAuto ? false : skip("no passage has a vector yet");
  if (deadline_.expired()) return skip("the deadline left no time");
  return true;
}

Result<SearchResult> Search::run() {
  KNAP_CHECK_OK(check());
  StageClock clock(result_.stages);
  result_.epoch = state_.epoch;
  terms_ = parse_query(query_.text, state_.languages, words_max_);
  result_.terms = terms_.shown;
  clock.finish("parse", terms_.words.size());
  choose_candidates();
  clock.finish("filter", candidate_count());

  FusionInput input{.state = state_, .query = query_, .terms = terms_, .candidates = candidates_};
  const bool dense_runs = choose_dense();
  // Without vectors a semantic search still answers, from the words.
  const bool keyword_runs = query_.mode != Mode::kSemantic || !dense_runs;
  std::vector<KeywordHit> best;
  DenseScores dense;
  if (keyword_runs) {
    weigh_words();
    input.words = scorer_->words();
    input.keyword_limit = scorer_->limit();
    input.unknown_share = unknown_share_;
    const bool only_best = !dense_runs && !query_.explain && query_.group == Group::kNote;
    if (dense_runs && query_.helpers.threads > 0 && state_.vectors->row_count >= kSharedRowsMin) {
      dense = score_together(clock);
      input.keyword = &keyword_;
      input.dense = &dense;
    } else if (only_best) {
      std::uint64_t found = 0;
      best = best_notes(state_, candidates_, *scorer_, std::max(query_.limit, kPhraseCandidates),
                        notes_named(state_, query_, terms_), found);
      input.best = &best;
      clock.finish("keyword", found);
    } else {
      keyword_.resize(state_.segments.size());
      for (std::size_t s = 0; s < keyword_.size(); ++s) score_keywords(s);
      input.keyword = &keyword_;
      clock.finish("keyword", count_keyword_notes());
    }
  }
  if (dense_runs && input.dense == nullptr) {
    if (deadline_.expired() && keyword_runs) {
      result_.degraded.emplace_back("dense: the deadline left no time");
    } else {
      dense = score_alone();
      input.dense = &dense;
      clock.finish("dense", dense.candidates);
    }
  }
  result_.ran = input.dense == nullptr ? Mode::kKeyword
                : keyword_runs         ? Mode::kHybrid
                                       : Mode::kSemantic;
  std::uint64_t fused = 0;
  result_.hits = fuse(input, fused);
  clock.finish("fuse", fused);
  return std::move(result_);
}

}  // namespace

std::uint64_t notes_with_term(const State& state, std::string_view term) {
  std::uint64_t notes = 0;
  for (const SegmentView& view : state.segments)
    if (const std::int64_t found = view.segment->find(term); found >= 0)
      notes += view.segment->terms[static_cast<std::size_t>(found)].notes;
  return notes;
}

Result<SearchResult> search_state(const State& state, const Query& query,
                                  std::uint32_t query_words_max, Deadline deadline) {
  return Search(state, query, query_words_max, deadline).run();
}

}  // namespace knap::search
