#include "model_rerank.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "hit_order.hpp"

namespace knap::index {
namespace {

// What follows, and the answer's way back, need some of the time that is left.
constexpr double kTimeShare = 0.8;
// One passage alone has no order.
constexpr std::size_t kPassagesMin = 2;

std::string text_of(const PassageView& passage) {
  std::string text = passage.title;
  for (const std::string& heading : passage.headings)
    if (heading != passage.title) text += " - " + heading;
  return text + "\n" + passage.plain;
}

std::chrono::microseconds micros(SteadyClock::duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration);
}

}  // namespace

Result<std::size_t> ModelRerank::how_many(Deadline deadline, std::size_t hits) {
  const std::size_t wanted = std::min<std::size_t>(depth_, hits);
  const auto usual = pace_.usual();
  if (deadline.is_never() || usual.count() == 0) return wanted;
  const auto left = std::chrono::duration<double, std::micro>(deadline.remaining()) * kTimeShare;
  const auto fit =
      static_cast<std::size_t>(std::max(0.0, left.count()) / static_cast<double>(usual.count()));
  if (fit >= kPassagesMin) return std::min(wanted, fit);
  pace_.skipped();
  return make_error(ErrorCode::kDeadlineExceeded,
                    fmt::format("the deadline leaves {:.1f} ms, and reading one passage takes "
                                "{:.1f} ms here",
                                left.count() / 1'000, static_cast<double>(usual.count()) / 1'000));
}

/// Interactive work is never made to wait, so it asks for no more than nobody computes with now:
/// this takes longer than a query's vector.
Result<service::Lease> ModelRerank::lease(bool background, Deadline deadline,
                                          const CancelToken& cancel) {
  const auto usage = leases_.usage();
  const std::size_t used = usage.interactive + usage.generation + usage.background;
  const std::size_t free = usage.cores > used ? usage.cores - used : 1;
  return leases_.acquire(background ? service::Lane::kBackground : service::Lane::kInteractive,
                         free, deadline, cancel);
}

Result<std::vector<float>> ModelRerank::score(const std::string& question, bool background,
                                              Deadline deadline, const CancelToken& cancel,
                                              const std::vector<SearchHit>& hits) {
  const auto model = find_();
  if (model == nullptr)
    return make_error(ErrorCode::kFailedPrecondition, "the reranking model is not installed");
  // Who waits for an answer never waits for a model to load: score() then says that it is loading.
  if (background) KNAP_CHECK_OK(model->load(deadline, cancel));
  KNAP_TRY(const std::size_t count, how_many(deadline, hits.size()));
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < count; ++i) texts.push_back(text_of(hits[i].passage));
  KNAP_TRY(const auto threads, lease(background, deadline, cancel));
  const auto begin = SteadyClock::now();
  auto scores = model->score(
      question, texts, background ? models::Priority::kBackground : models::Priority::kInteractive,
      threads.threads(), deadline, cancel);
  const auto each = micros(SteadyClock::now() - begin) / static_cast<std::int64_t>(count);
  if (scores) {
    pace_.learn(each);
    return std::move(scores->values);
  }
  if (scores.error().code == ErrorCode::kDeadlineExceeded) pace_.exceeded(each);
  return std::move(scores).error();
}

void ModelRerank::run(const std::string& question, bool background, Deadline deadline,
                      const CancelToken& cancel, SearchOutcome& outcome) {
  std::vector<SearchHit>& hits = outcome.hits;
  if (hits.size() < kPassagesMin) return;
  const auto begin = SteadyClock::now();
  const auto scores = score(question, background, deadline, cancel, hits);
  if (!scores) {
    outcome.degraded.push_back("rerank: " + scores.error().message);
    outcome.repeatable = false;
    return;
  }
  const std::size_t count = scores->size();
  for (std::size_t i = 0; i < count; ++i) {
    search::Hit& hit = hits[i].hit;
    hit.parts.rerank = (*scores)[i];
    hit.score = (1 - weight_) * hit.score + weight_ * hit.parts.rerank;
  }
  order_again(hits, count);
  outcome.stages.push_back({"rerank", micros(SteadyClock::now() - begin), count});
}

}  // namespace knap::index
