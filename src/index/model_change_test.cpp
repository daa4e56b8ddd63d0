#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "testing.hpp"

namespace knap::index {
namespace {

using ::testing::ElementsAre;

using ModelChangeTest = ServiceTest;

TEST_F(ModelChangeTest, ChangesToAModelOfAnotherSizeAndBack) {
  write("a.md", "# A\n\nred green blue\n");
  open();
  EXPECT_EQ(service_->roll_back_embedder().error().code, ErrorCode::kFailedPrecondition);
  scan(Service::WaitFor::kSemantic);
  found("red", search::Mode::kHybrid);
  const auto before = service_->status().front().epoch;
  auto other = std::make_shared<CountingEmbedder>("other", 48);
  ASSERT_TRUE(service_->set_embedder(other, OnLoss::kHold));
  scan(Service::WaitFor::kSemantic);
  const ModelState state = service_->model_state();
  EXPECT_EQ(state.serving, "other");
  EXPECT_EQ(state.previous, "counting");
  EXPECT_TRUE(state.building.empty());
  EXPECT_EQ(state.compared.questions, 1U);
  EXPECT_EQ(state.compared.overlap, 1.0);
  EXPECT_EQ(other->passages, 1);
  EXPECT_GT(service_->status().front().epoch, before);
  EXPECT_EQ(service_->status().front().embed_model, "other");
  ASSERT_TRUE(service_->roll_back_embedder());
  EXPECT_EQ(service_->model_state().serving, "counting");
  EXPECT_EQ(service_->status().front().passages_with_vector, 1U) << "at once";
  EXPECT_EQ(embedder_->passages, 1) << "the first model's vectors were kept";
  EXPECT_THAT(found("red", search::Mode::kHybrid), ElementsAre("a.md"));
  ASSERT_TRUE(service_->set_embedder(nullptr, OnLoss::kHold));
  EXPECT_EQ(service_->status().front().embed_state, "no model");
  EXPECT_THAT(found("red"), ElementsAre("a.md"));
}

TEST_F(ModelChangeTest, AChangeIsComparedOnTheSameQuestions) {
  for (int i = 0; i < 40; ++i)
    write("n" + std::to_string(i) + ".md", "# N\n\nword" + std::to_string(i) + " alone\n");
  open();
  scan(Service::WaitFor::kSemantic);
  std::atomic<bool> stop = false;
  std::atomic<int> asked = 0;
  std::thread asker([&] {  // other questions all the time
    for (; !stop; ++asked) {
      found("word" + std::to_string(asked % 40), search::Mode::kHybrid);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  EXPECT_TRUE(eventually([&] { return asked > 20; }));
  EXPECT_TRUE(
      service_->set_embedder(std::make_shared<CountingEmbedder>("other", 48), OnLoss::kHold));
  EXPECT_TRUE(eventually([&] { return service_->model_state().compared.questions > 0; }));
  stop = true;
  asker.join();
  EXPECT_GT(service_->model_state().compared.overlap, .3);
}

TEST_F(ModelChangeTest, TheOldModelServesUntilTheNewOneHasAllVectors) {
  for (int i = 0; i < 30; ++i)
    write("n" + std::to_string(i) + ".md", "# N\n\nred number" + std::to_string(i) + "\n");
  open();
  scan(Service::WaitFor::kSemantic);
  auto other = std::make_shared<CountingEmbedder>("other", 48);
  other->broken = true;
  ASSERT_TRUE(service_->set_embedder(other, OnLoss::kHold));
  ASSERT_TRUE(eventually([&] { return service_->model_state().state.starts_with("waiting"); }));
  EXPECT_EQ(service_->model_state().serving, "counting");
  EXPECT_EQ(service_->model_state().building, "other");
  EXPECT_EQ(service_->model_state().missing, 30U);
  SearchRequest request;
  request.text = "number7";
  const auto during = service_->search(request, Deadline::never(), {});
  ASSERT_TRUE(during);
  EXPECT_EQ(during->ran, search::Mode::kHybrid);
  EXPECT_EQ(during->embedder, embedder_);
  EXPECT_EQ(during->semantic_coverage, 1.0);

  // A model that fails keeps nothing from the one that serves.
  ASSERT_TRUE(eventually([&] { return service_->model_state().state.starts_with("waiting 4 s"); }));
  write("late.md", "# Late\n\nzebra\n");
  scan();
  EXPECT_TRUE(eventually([&] { return service_->status().front().passages_with_vector == 31; },
                         std::chrono::seconds(2)));

  // Given up: back to the model that serves.
  ASSERT_TRUE(service_->set_embedder(embedder_, OnLoss::kHold));
  EXPECT_TRUE(service_->model_state().building.empty());

  other->broken = false;
  ASSERT_TRUE(service_->set_embedder(other, OnLoss::kHold));
  ASSERT_TRUE(eventually([&] { return service_->model_state().serving == "other"; }));
  const auto after = service_->search(request, Deadline::never(), {});
  ASSERT_TRUE(after);
  EXPECT_EQ(after->ran, search::Mode::kHybrid);
  EXPECT_EQ(after->embedder, other);
  EXPECT_EQ(other->passages, 31);
}

TEST_F(ModelChangeTest, AChangeOfModelGoesOnAfterARestart) {
  for (int i = 0; i < 30; ++i)
    write("n" + std::to_string(i) + ".md", "# N\n\nred number" + std::to_string(i) + "\n");
  open();
  scan(Service::WaitFor::kSemantic);
  service_.reset();
  // The settings name another model now; the one that served before goes on.
  const auto first = embedder_;
  auto next = std::make_shared<CountingEmbedder>("next", 48);
  next->broken = true;
  embedder_ = next;
  auto with_both = options();
  with_both.find_embedder = [&](std::string_view id) -> std::shared_ptr<models::Embedder> {
    return id == "counting" ? first : nullptr;
  };
  open(with_both);
  EXPECT_EQ(service_->model_state().serving, "counting");
  EXPECT_EQ(service_->model_state().building, "next");
  EXPECT_EQ(service_->status().front().passages_with_vector, 30U);
  next->broken = false;
  scan(Service::WaitFor::kSemantic);
  EXPECT_EQ(service_->model_state().serving, "next");
  EXPECT_EQ(first->passages, 30) << "nothing was embedded again";
  // Whole, it serves from the start.
  open(with_both);
  EXPECT_EQ(service_->model_state().serving, "next");
  EXPECT_TRUE(service_->model_state().building.empty());
  EXPECT_EQ(next->passages, 30);
}

// Searches while models change to and fro: every one is answered with both legs, by one model.
TEST_F(ModelChangeTest, SearchesNeverMixModels) {
  for (int i = 0; i < 20; ++i)
    write("n" + std::to_string(i) + ".md", "# N\n\nred number" + std::to_string(i) + "\n");
  open();
  scan(Service::WaitFor::kSemantic);
  auto other = std::make_shared<CountingEmbedder>("other", 48);
  ASSERT_TRUE(service_->set_embedder(other, OnLoss::kHold));
  ASSERT_TRUE(eventually([&] { return service_->model_state().serving == "other"; }));
  std::atomic<bool> stop = false;
  std::atomic<int> searches = 0, wrong = 0;
  std::thread searcher([&] {
    while (!stop) {
      SearchRequest request;
      request.text = "number3 " + std::to_string(searches % 7);
      const auto outcome = service_->search(request, Deadline::never(), {});
      if (!outcome || outcome->ran != search::Mode::kHybrid || !outcome->degraded.empty()) ++wrong;
      ++searches;
    }
  });
  for (int i = 0; i < 40; ++i) EXPECT_TRUE(service_->roll_back_embedder());
  EXPECT_TRUE(eventually([&] { return searches > 20; }));
  stop = true;
  searcher.join();
  EXPECT_EQ(wrong, 0) << "of " << searches;
}

}  // namespace
}  // namespace knap::index
