#include "model_rerank.hpp"

#include <gmock/gmock.h>

#include <thread>

namespace knap::index {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Likes texts by their number of "good"; each takes its time.
class CountingReranker final : public models::Reranker {
 public:
  std::string id() const override { return "counting"; }
  std::vector<std::string> languages() const override { return {"*"}; }
  Status load(Deadline, const CancelToken&) override {
    ++loads;
    if (leases != nullptr) leased_while_loading = leases->usage().background;
    return {};
  }
  Result<Scores> score(const std::string& question, std::span<const std::string> texts,
                       models::Priority priority, std::size_t threads, Deadline deadline,
                       const CancelToken&) override {
    last_question = question;
    last_texts.assign(texts.begin(), texts.end());
    last_priority = priority;
    last_threads = threads;
    if (broken) return make_error(ErrorCode::kUnavailable, "the model is loading");
    std::this_thread::sleep_for(each * texts.size());
    if (deadline.expired()) return make_error(ErrorCode::kDeadlineExceeded, "too late");
    Scores scores;
    for (const std::string& text : texts) {
      float count = 0;
      for (std::size_t at = text.find("good"); at != std::string::npos;
           at = text.find("good", at + 1))
        ++count;
      scores.values.push_back(count / 10);
    }
    return scores;
  }
  std::string last_question;
  std::vector<std::string> last_texts;
  models::Priority last_priority{};
  std::size_t last_threads = 0;
  std::chrono::milliseconds each{0};
  bool broken = false;
  int loads = 0;
  const service::ComputeLeases* leases = nullptr;
  std::size_t leased_while_loading = 0;
};

SearchOutcome outcome_of(const std::vector<std::pair<std::string, float>>& hits) {
  SearchOutcome outcome;
  for (const auto& [text, score] : hits) {
    SearchHit hit;
    hit.passage.title = "Title";
    hit.passage.headings = {"Title", "Part"};
    hit.passage.plain = text;
    hit.hit.score = score;
    outcome.hits.push_back(std::move(hit));
  }
  return outcome;
}

std::vector<std::string> texts_of(const SearchOutcome& outcome) {
  std::vector<std::string> texts;
  for (const SearchHit& hit : outcome.hits) texts.push_back(hit.passage.plain);
  return texts;
}

class ModelRerankTest : public testing::Test {
 protected:
  ModelRerank make(std::uint32_t depth = 20, float weight = 1) {
    ServiceOptions options;
    options.find_reranker = [this] { return model_; };
    options.rerank_depth = depth;
    options.rerank_weight = weight;
    return ModelRerank(options, leases_);
  }
  std::shared_ptr<CountingReranker> model_ = std::make_shared<CountingReranker>();
  service::ComputeLeases leases_{2};
};

TEST_F(ModelRerankTest, OrdersByWhatTheModelSays) {
  auto stage = make();
  auto outcome = outcome_of({{"bad", .9F}, {"good", .8F}, {"good good", .7F}});
  stage.run("what", false, Deadline::never(), {}, outcome);
  EXPECT_THAT(texts_of(outcome), ElementsAre("good good", "good", "bad"));
  EXPECT_EQ(model_->last_question, "what");
  EXPECT_EQ(model_->last_texts.front(), "Title - Part\nbad");
  EXPECT_EQ(model_->last_priority, models::Priority::kInteractive);
  EXPECT_EQ(model_->last_threads, 2U);
  EXPECT_FLOAT_EQ(outcome.hits[0].hit.score, .2F);
  EXPECT_FLOAT_EQ(outcome.hits[0].hit.parts.rerank, .2F);
  ASSERT_EQ(outcome.stages.size(), 1U);
  EXPECT_EQ(outcome.stages[0].name, "rerank");
  EXPECT_EQ(outcome.stages[0].candidates, 3U);
  EXPECT_THAT(outcome.degraded, IsEmpty());
  EXPECT_TRUE(outcome.repeatable);
}

TEST_F(ModelRerankTest, MixesItsScoreByTheWeight) {
  auto stage = make(20, .5F);
  auto outcome = outcome_of({{"bad", .9F}, {"good", .2F}});
  stage.run("what", false, Deadline::never(), {}, outcome);
  EXPECT_THAT(texts_of(outcome), ElementsAre("bad", "good"));
  EXPECT_FLOAT_EQ(outcome.hits[0].hit.score, .45F);
  EXPECT_FLOAT_EQ(outcome.hits[1].hit.score, .15F);
}

TEST_F(ModelRerankTest, LeavesNamedNotesFirstAndLowerHitsBelow) {
  auto stage = make(3);
  auto outcome =
      outcome_of({{"bad", .9F}, {"good", .8F}, {"good good", .7F}, {"good good good", .6F}});
  outcome.hits[0].hit.parts.prior = 1;
  stage.run("what", false, Deadline::never(), {}, outcome);
  EXPECT_THAT(texts_of(outcome), ElementsAre("bad", "good good", "good", "good good good"));
  for (std::size_t i = 1; i < outcome.hits.size(); ++i)
    EXPECT_GE(outcome.hits[i - 1].hit.score, outcome.hits[i].hit.score);
}

TEST_F(ModelRerankTest, SaysWhyItDidNotRun) {
  auto stage = make();
  model_->broken = true;
  auto outcome = outcome_of({{"bad", .9F}, {"good", .8F}});
  stage.run("what", false, Deadline::never(), {}, outcome);
  EXPECT_THAT(texts_of(outcome), ElementsAre("bad", "good"));
  EXPECT_THAT(outcome.degraded, ElementsAre("rerank: the model is loading"));
  EXPECT_FALSE(outcome.repeatable);
  EXPECT_THAT(outcome.stages, IsEmpty());
  model_ = nullptr;
  outcome.degraded.clear();
  stage.run("what", false, Deadline::never(), {}, outcome);
  EXPECT_THAT(outcome.degraded, ElementsAre(HasSubstr("is not installed")));
}

TEST_F(ModelRerankTest, ReadsAsManyAsTheDeadlineLeavesTimeFor) {
  auto stage = make();
  model_->each = std::chrono::milliseconds(10);
  std::vector<std::pair<std::string, float>> hits(20, {"good", .5F});
  auto outcome = outcome_of(hits);
  stage.run("what", false, Deadline::never(), {}, outcome);  // learns its pace
  EXPECT_EQ(model_->last_texts.size(), 20U);
  outcome = outcome_of(hits);
  stage.run("what", false, Deadline::after(std::chrono::milliseconds(100)), {}, outcome);
  EXPECT_LE(model_->last_texts.size(), 8U);
  model_->last_texts.clear();
  outcome = outcome_of(hits);
  stage.run("what", false, Deadline::after(std::chrono::milliseconds(5)), {}, outcome);
  EXPECT_THAT(model_->last_texts, IsEmpty());
  EXPECT_THAT(outcome.degraded, ElementsAre(HasSubstr("rerank: the deadline leaves")));
}

TEST_F(ModelRerankTest, InTheBackgroundTheModelIsLoadedBeforeThreadsAreLeased) {
  auto stage = make();
  model_->leases = &leases_;
  auto outcome = outcome_of({{"bad", .9F}, {"good", .8F}});
  stage.run("what", false, Deadline::never(), {}, outcome);
  EXPECT_EQ(model_->loads, 0) << "a person does not wait for it";
  stage.run("what", true, Deadline::never(), {}, outcome);
  EXPECT_EQ(model_->loads, 1);
  EXPECT_EQ(model_->leased_while_loading, 0U);
  EXPECT_EQ(model_->last_priority, models::Priority::kBackground);
}

TEST_F(ModelRerankTest, HasNothingToDoForOneHit) {
  auto stage = make();
  auto outcome = outcome_of({{"good", .9F}});
  stage.run("what", false, Deadline::never(), {}, outcome);
  EXPECT_THAT(model_->last_texts, IsEmpty());
  EXPECT_THAT(outcome.degraded, IsEmpty());
  EXPECT_EQ(ModelRerank(ServiceOptions(), leases_).depth(), 0U);
}

}  // namespace
}  // namespace knap::index
