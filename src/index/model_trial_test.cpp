#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "testing.hpp"

namespace knap::index {
namespace {

using ::testing::HasSubstr;

/// Knows no word: all texts are alike to it.
class DullEmbedder final : public models::Embedder {
 public:
  std::string id() const override { return "dull@1/int8"; }
  std::size_t dimensions() const override { return 48; }
  std::vector<std::string> languages() const override { return {"*"}; }
  Result<models::Embeddings> embed(std::span<const std::string> texts, models::InputKind kind,
                                   models::Priority, Deadline, const CancelToken&) override {
    if (kind == models::InputKind::kQuery && mute)
      return make_error(ErrorCode::kUnavailable, "the model is mute");
    models::Embeddings out{dimensions(), {}, 0};
    for (std::size_t i = 0; i < texts.size(); ++i) {
      std::vector<float> row(dimensions());
      row.front() = 1;
      out.values.insert(out.values.end(), row.begin(), row.end());
    }
    return out;
  }
  std::atomic<bool> mute = false;
};

/// Twenty notes of which questions share a word each, and the judgement which one answers.
class ModelTrialTest : public ServiceTest {
 protected:
  static constexpr int kNotes = 20;

  void write_notes() const {
    for (int i = 0; i < kNotes; ++i)
      write("n" + std::to_string(i) + ".md", "# N\n\nalone word" + std::to_string(i) + "\n");
  }
  void judge_all() {
    for (int i = 0; i < kNotes; ++i)
      set_.questions.push_back({"word" + std::to_string(i), "", "", {{note(i), 3}}});
  }
  static std::string note(int i) { return "n" + std::to_string(i) + ".md"; }
  /// Where meaning alone counts, a model that knows nothing must lose.
  ServiceOptions judged_options() {
    auto out = options();
    out.ranking.dense_weight = 1;
    out.ranking.sentence_weight = 0;
    out.judged_questions = [this]() -> Result<JudgedSet> {
      if (!fault_.empty()) return make_error(ErrorCode::kInvalidArgument, fault_);
      return set_;
    };
    return out;
  }
  void open_judged() {
    write_notes();
    judge_all();
    open(judged_options());
    scan(Service::WaitFor::kSemantic);
  }
  bool held() const { return !service_->model_state().held.empty(); }
  bool serves(std::string_view id) const { return service_->model_state().serving == id; }

  JudgedSet set_{"judged.yaml", {}};
  std::string fault_;
  std::shared_ptr<DullEmbedder> dull_ = std::make_shared<DullEmbedder>();
};

TEST_F(ModelTrialTest, AModelThatLosesIsHeldUntilItIsForced) {
  open_judged();
  ASSERT_TRUE(service_->set_embedder(dull_, OnLoss::kHold));
  ASSERT_TRUE(eventually([&] { return held(); }));
  const ModelState state = service_->model_state();
  EXPECT_EQ(state.serving, "counting");
  EXPECT_EQ(state.building, dull_->id());
  EXPECT_EQ(state.missing, 0U);
  EXPECT_EQ(state.compared.judged.questions, std::uint32_t{kNotes});
  EXPECT_LT(state.compared.judged.ndcg_10, state.compared.judged.ndcg_10_before - kNdcgLossMax);
  EXPECT_LT(state.compared.judged.recall_10, state.compared.judged.recall_10_before);
  EXPECT_THAT(state.held, HasSubstr("on 20 judged questions; `knap models use dull --force`"));
  EXPECT_THAT(service_->status().front().embed_state, HasSubstr("held: nDCG@10"));
  EXPECT_EQ(service_->status().front().embed_model, "counting");
  EXPECT_TRUE(state.compared.problem.empty()) << state.compared.problem;

  // Held, it is no work that anybody waits for, and keeps in step with the vault.
  scan(Service::WaitFor::kSemantic);
  write("late.md", "# Late\n\nzebra\n");
  scan(Service::WaitFor::kSemantic);
  EXPECT_TRUE(held());

  ASSERT_TRUE(service_->set_embedder(dull_, OnLoss::kSwap));
  EXPECT_TRUE(eventually([&] { return serves(dull_->id()); }));
  EXPECT_FALSE(held());
  EXPECT_EQ(service_->status().front().passages_with_vector, kNotes + 1U);
  EXPECT_EQ(service_->model_state().compared.judged.questions, std::uint32_t{kNotes});
  ASSERT_TRUE(service_->roll_back_embedder());
  EXPECT_TRUE(serves("counting"));
}

TEST_F(ModelTrialTest, AModelThatLosesNothingServes) {
  open_judged();
  const auto other = std::make_shared<CountingEmbedder>("other", 512);
  ASSERT_TRUE(service_->set_embedder(other, OnLoss::kHold));
  ASSERT_TRUE(eventually([&] { return serves("other"); }));
  const auto judged = service_->model_state().compared.judged;
  EXPECT_EQ(judged.questions, std::uint32_t{kNotes});
  EXPECT_GT(judged.ndcg_10, .5);
  EXPECT_GE(judged.ndcg_10, judged.ndcg_10_before - kNdcgLossMax);
}

TEST_F(ModelTrialTest, ARollBackGivesAHeldChangeUp) {
  open_judged();
  ASSERT_TRUE(service_->set_embedder(dull_, OnLoss::kHold));
  ASSERT_TRUE(eventually([&] { return held(); }));
  ASSERT_TRUE(service_->roll_back_embedder());
  EXPECT_TRUE(serves("counting"));
  EXPECT_TRUE(service_->model_state().building.empty());
  EXPECT_FALSE(held());
}

TEST_F(ModelTrialTest, AHeldChangeIsHeldAgainAfterARestart) {
  open_judged();
  ASSERT_TRUE(service_->set_embedder(dull_, OnLoss::kHold));
  ASSERT_TRUE(eventually([&] { return held(); }));
  service_.reset();
  auto with_both = judged_options();
  with_both.find_embedder = [&](std::string_view id) -> std::shared_ptr<models::Embedder> {
    return id == "counting" ? embedder_ : nullptr;
  };
  auto service = Service::open(with_both, dull_, leases_, *metrics_);
  ASSERT_TRUE(service) << service.error().message;
  service_ = std::move(*service);
  EXPECT_TRUE(serves("counting"));
  service_->start();
  EXPECT_TRUE(eventually([&] { return held(); }));
  EXPECT_TRUE(serves("counting"));
}

TEST_F(ModelTrialTest, FaultsAreToldAndBreakNoChange) {
  open_judged();
  set_.questions[2].grades = {{"gone.md", 1}};
  set_.questions[3].grades = {{note(3), 1}, {"lost.md", 1}};
  set_.questions[4].vault = "nowhere";
  set_.questions[5].filter = "tag:(";
  const auto other = std::make_shared<CountingEmbedder>("other", 512);
  ASSERT_TRUE(service_->set_embedder(other, OnLoss::kHold));
  ASSERT_TRUE(eventually([&] { return serves("other"); }));
  const auto compared = service_->model_state().compared;
  EXPECT_EQ(compared.judged.questions, kNotes - 3U);
  EXPECT_THAT(compared.problem, HasSubstr("judged.yaml: 4 of 20 judged questions"));
  EXPECT_THAT(compared.problem, HasSubstr("question 3: there is no note gone.md"));

  fault_ = "judged.yaml line 3: unknown key 'note'";
  ASSERT_TRUE(service_->set_embedder(dull_, OnLoss::kHold));
  EXPECT_THAT(service_->model_state().compared.problem, HasSubstr(fault_)) << "at once";
  ASSERT_TRUE(eventually([&] { return serves(dull_->id()); }));
  EXPECT_EQ(service_->model_state().compared.judged.questions, 0U);
  EXPECT_THAT(service_->model_state().compared.problem, HasSubstr("correct the file"));
}

TEST_F(ModelTrialTest, AModelThatCannotBeAskedWaitsAndCanBeForced) {
  open_judged();
  dull_->mute = true;
  ASSERT_TRUE(service_->set_embedder(dull_, OnLoss::kHold));
  ASSERT_TRUE(eventually([&] { return service_->model_state().state.starts_with("waiting"); }));
  EXPECT_THAT(service_->model_state().state, HasSubstr("the model is mute"));
  EXPECT_THAT(service_->model_state().state, HasSubstr("knap models use dull --force"));
  EXPECT_TRUE(serves("counting"));
  ASSERT_TRUE(service_->set_embedder(dull_, OnLoss::kSwap));
  EXPECT_TRUE(eventually([&] { return serves(dull_->id()); }));
}

}  // namespace
}  // namespace knap::index
