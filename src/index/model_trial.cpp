// Two embedding models on the same questions, before one takes the place of the other. The next
// model is asked through a trial of each index, so that nobody meets it before it is judged.
#include <algorithm>

#include <fmt/format.h>

#include "knap/base/text.hpp"
#include "service_impl.hpp"

namespace knap::index {
namespace {

constexpr std::uint32_t kComparedHits = 10;
constexpr std::size_t kJudgedMax = 500;  ///< More would say the same and take longer.
constexpr auto kQuestionBudget = std::chrono::seconds(10);
constexpr auto kTrialBudget = std::chrono::minutes(2);

/// Share of what was found before that is found after too; nothing: nothing was found before.
std::optional<double> overlap(const std::vector<std::string>& before,
                              const std::vector<std::string>& after) {
  if (before.empty()) return std::nullopt;
  const auto common = std::count_if(before.begin(), before.end(), [&](const std::string& path) {
    return std::find(after.begin(), after.end(), path) != after.end();
  });
  return static_cast<double>(common) / static_cast<double>(before.size());
}

}  // namespace

/// A model with the searches over the vectors that it made.
struct ServiceImpl::TrialSide {
  EmbedQueue::Model model;
  std::map<const VaultState*, search::Index::Trial> searches;
};

ServiceImpl::TrialSide ServiceImpl::side_of(const EmbedQueue::Model& model) const {
  TrialSide side{model, {}};
  for (const auto& vault : vaults_) {
    side.searches[vault.get()] = [index = vault->index.get()](const search::Query& query,
                                                              Deadline deadline) {
      return index->search(query, deadline);
    };
  }
  return side;
}

Result<ServiceImpl::TrialSide> ServiceImpl::trial_side_of(const EmbedQueue::Model& model) const {
  TrialSide side{model, {}};
  for (const auto& vault : vaults_) {
    KNAP_TRY(side.searches[vault.get()],
             vault->index.get()->try_vectors(
                 static_cast<std::uint32_t>(model.embedder->dimensions()), model.space,
                 [&](const search::Index::PutVector& put) -> Status {
                   return store_->used_embeddings(
                       model.key, vault->id,
                       [&](const Hash128& hash, std::span<const std::int8_t> values) {
                         put({hash, values});
                       });
                 }));
  }
  return side;
}

/// What a person would find first if the side's model served; a path of two vaults counts once.
Result<std::vector<std::string>> ServiceImpl::find_paths(const TrialSide& side,
                                                         const SearchRequest& request,
                                                         Deadline deadline,
                                                         const CancelToken& cancel) {
  KNAP_TRY(const auto vaults, wanted_vaults(request.vaults));
  SearchOutcome outcome;
  KNAP_TRY(outcome.embedding,
           embed_in_background(*side.model.embedder, request.text, deadline, cancel));
  outcome.embedder = side.model.embedder;
  const search::Query query = query_of(request, outcome, side.model.space);
  for (VaultState* vault : vaults) {
    KNAP_TRY(search::SearchResult result, side.searches.at(vault)(query, deadline));
    if (result.other_space)
      return make_error(ErrorCode::kUnavailable, "the embedding model was changed meanwhile");
    outcome.ran = result.ran;
    for (search::Hit& hit : result.hits) outcome.hits.push_back({{}, std::move(hit)});
  }
  KNAP_CHECK_OK(order_hits(vaults, request, outcome));
  if (outcome.hits.size() > request.limit) outcome.hits.resize(request.limit);
  std::vector<std::string> paths;
  for (const SearchHit& hit : outcome.hits) {
    if (std::find(paths.begin(), paths.end(), hit.passage.path) == paths.end())
      paths.push_back(hit.passage.path);
  }
  return paths;
}

/// @param missing  a note that is not there, where there is one
/// Errors: kNotFound (vault; none of the notes), kInvalidArgument (filter).
Result<ServiceImpl::TrialQuestion> ServiceImpl::check_question(const JudgedQuestion& question,
                                                               std::string& missing) const {
  TrialQuestion out;
  out.request.text = question.query;
  out.request.limit = kComparedHits;
  out.request.background = true;
  if (!question.vault.empty()) out.request.vaults.push_back(question.vault);
  KNAP_CHECK_OK(wanted_vaults(out.request.vaults));
  if (!question.filter.empty()) {
    auto filter = search::Filter::parse(question.filter, unix_now_ms() / 1000);
    if (!filter)
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("its filter, character {}: {}", filter.error().character,
                                    filter.error().message));
    out.request.filter = std::move(*filter);
  }
  for (const auto& [path, grade] : question.grades) {
    const auto place = find(question.vault, path);
    if (place) {
      out.grades[text::repair_utf8(place->path)] = grade;
    } else if (missing.empty()) {
      missing = path;
    }
  }
  if (out.grades.empty()) return make_error(ErrorCode::kNotFound, "there is no note " + missing);
  return out;
}

/// Those that can be asked. What is wrong with the others is told and keeps no change waiting.
ServiceImpl::TrialQuestions ServiceImpl::judged_questions() const {
  TrialQuestions out;
  if (!options_.judged_questions) return out;
  const auto set = options_.judged_questions();
  if (!set) {
    out.problem = set.error().message +
                  "; without judged questions a change of embedding model is not held, whatever "
                  "it loses: correct the file and run knap models use again";
    return out;
  }
  std::size_t number = 0, faults = 0;
  std::string first;
  for (const JudgedQuestion& question : set->questions) {
    if (out.judged.size() == kJudgedMax) break;
    ++number;
    std::string missing;
    auto checked = check_question(question, missing);
    if ((!checked || !missing.empty()) && faults++ == 0)
      first = fmt::format("question {}: {}", number,
                          checked ? "there is no note " + missing : checked.error().message);
    if (checked) out.judged.push_back(std::move(*checked));
  }
  if (faults > 0) {
    out.problem = fmt::format(
        "{}: {} of {} judged questions name what is not there, and that part is left out; {}. "
        "Write paths as search results show them",
        set->file, faults, number, first);
  }
  return out;
}

/// Means over the questions that both models could be asked in time.
Status ServiceImpl::compare_judged(const EmbedQueue::Trial& trial,
                                   const std::vector<TrialQuestion>& questions,
                                   const TrialSide& now, const TrialSide& next, Deadline budget,
                                   ModelState::Comparison& out) {
  auto& judged = out.judged;
  for (const TrialQuestion& question : questions) {
    if (!trial.wanted() || budget.expired()) break;
    const Deadline deadline = Deadline::after(kQuestionBudget).earlier(budget);
    const auto before = find_paths(now, question.request, deadline, trial.cancel);
    const auto after = before ? find_paths(next, question.request, deadline, trial.cancel) : before;
    if (!after) {
      // A busy machine costs a question, a model that does not answer the whole judgement.
      if (after.error().code == ErrorCode::kDeadlineExceeded) continue;
      return after.error();
    }
    const RankingQuality old_quality = judge(*before, question.grades);
    const RankingQuality new_quality = judge(*after, question.grades);
    judged.ndcg_10_before += old_quality.ndcg_10;
    judged.ndcg_10 += new_quality.ndcg_10;
    judged.recall_10_before += old_quality.recall_10;
    judged.recall_10 += new_quality.recall_10;
    ++judged.questions;
  }
  if (judged.questions == 0 && !questions.empty())
    return make_error(ErrorCode::kDeadlineExceeded, "the machine is too busy");
  for (double* mean :
       {&judged.ndcg_10_before, &judged.ndcg_10, &judged.recall_10_before, &judged.recall_10})
    *mean /= std::max<std::uint32_t>(1, judged.questions);
  return {};
}

/// Questions that one of the models could not be asked are left out: they decide nothing.
void ServiceImpl::compare_recent(const EmbedQueue::Trial& trial,
                                 const std::vector<std::string>& questions, const TrialSide& now,
                                 const TrialSide& next, Deadline budget,
                                 ModelState::Comparison& out) {
  double sum = 0;
  for (const std::string& text : questions) {
    if (!trial.wanted() || budget.expired()) break;
    SearchRequest request;
    request.text = text;
    request.limit = kComparedHits;
    request.background = true;
    const Deadline deadline = Deadline::after(kQuestionBudget).earlier(budget);
    const auto before = find_paths(now, request, deadline, trial.cancel);
    if (!before) continue;
    const auto after = find_paths(next, request, deadline, trial.cancel);
    if (!after) continue;
    const auto share = overlap(*before, *after);
    if (!share) continue;
    sum += *share;
    ++out.questions;
  }
  if (out.questions > 0) out.overlap = sum / out.questions;
}

/// The judged questions first: they decide, and the time is limited.
Result<ModelState::Comparison> ServiceImpl::compare_models(const EmbedQueue::Trial& trial) {
  ModelState::Comparison out;
  const std::vector<std::string> recent = recent_.all();
  TrialQuestions questions = judged_questions();
  out.problem = std::move(questions.problem);
  if (recent.empty() && questions.judged.empty()) return out;
  const TrialSide now = side_of(trial.now);
  KNAP_TRY(const TrialSide next, trial_side_of(trial.next));
  const Deadline budget = Deadline::after(kTrialBudget);
  KNAP_CHECK_OK(compare_judged(trial, questions.judged, now, next, budget, out));
  compare_recent(trial, recent, now, next, budget, out);
  return out;
}

}  // namespace knap::index
