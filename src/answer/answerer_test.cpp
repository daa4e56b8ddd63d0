#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "confidence.hpp"
#include "fakes.hpp"
#include "generative.hpp"
#include "knap/answer/answer.hpp"

namespace knap::answer {
namespace {

/// A small vault, an answerer over it, and what its listener heard.
class AnswererTest : public ::testing::Test {
 protected:
  void SetUp() override {
    index_.add_note("bridge.md", "Bridge of Loschwitz",
                    "# Bridge of Loschwitz\n\nThe bridge was opened in July 1893. It spans the "
                    "river Elbe for 280 "
                    "metres.\nThe engineer Claus Koepcke designed the steel frame.");
    index_.add_note(
        "tower.md", "Tower",
        "# Tower\n\nThe radio tower stands on a hill near Wachwitz. It is 252 metres tall.");
    index_.add_note(
        "soup.md", "Potato soup",
        "# Potato soup\n\n- Peel 500 grams of potatoes\n- Boil them for twenty minutes");
    index_.add_note("garden.md", "Garden",
                    "# Garden\n\nTomatoes need sun and water. Basil grows well beside them.");
    answerer_ = Answerer::create({}, index_, models_, leases_, metrics_);
  }

  Result<Answer> ask(std::string question, Mode mode = Mode::kAuto,
                     Deadline deadline = Deadline::never()) {
    AskRequest request;
    request.question = std::move(question);
    request.mode = mode;
    Listener listener;
    listener.on_sources = [&](const std::vector<Citation>& sources) {
      heard_ += "sources ";
      sources_ = sources;
    };
    listener.on_token = [&](std::string_view text) {
      if (!heard_.ends_with("token ")) heard_ += "token ";
      told_ += text;
      return true;
    };
    listener.on_claims = [&](const Answer&) { heard_ += "claims"; };
    return answerer_->ask(request, deadline, cancel_, listener);
  }

  void give_model(std::string words) {
    models_.generator_model = std::make_shared<FakeGenerator>(std::move(words));
  }

  FakeService index_;
  FakeModels models_;
  service::ComputeLeases leases_{2};
  observe::Registry metrics_;
  CancelToken cancel_;
  std::unique_ptr<Answerer> answerer_;
  std::string heard_, told_;
  std::vector<Citation> sources_;
};

TEST_F(AnswererTest, QuotesTheSentenceThatAnswers) {
  const auto answer = ask("When was the bridge of Loschwitz opened?", Mode::kExtractive);
  ASSERT_TRUE(answer);
  EXPECT_FALSE(answer->refused);
  EXPECT_EQ(answer->mode, "extractive");
  ASSERT_FALSE(answer->citations.empty());
  EXPECT_EQ(answer->citations[0].quote, "The bridge was opened in July 1893.");
  EXPECT_EQ(answer->citations[0].lines, (vault::LineRange{3, 3}));
  EXPECT_EQ(answer->citations[0].path, "bridge.md");
  EXPECT_TRUE(answer->text.starts_with("The bridge was opened in July 1893. [1]"));
  for (const Claim& claim : answer->claims) EXPECT_EQ(claim.verdict, Verdict::kSupported);
}

TEST_F(AnswererTest, TellsSourcesThenTokensThenClaims) {
  const auto answer = ask("When was the bridge of Loschwitz opened?");
  ASSERT_TRUE(answer);
  EXPECT_EQ(heard_, "sources token claims");
  EXPECT_EQ(told_, answer->text);
  EXPECT_EQ(sources_.size(), answer->citations.size());
}

TEST_F(AnswererTest, RefusesWhatNoNoteTells) {
  give_model("It is Paris. [1]");
  const auto answer = ask("Who is the president of the Zanzibar Chess Federation?");
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->refused);
  EXPECT_EQ(answer->mode, "refused");
  EXPECT_TRUE(answer->claims.empty());
  EXPECT_TRUE(answer->citations.empty());
  EXPECT_EQ(told_, answer->text);
  EXPECT_EQ(models_.generator_model->calls(), 0U);
}

TEST_F(AnswererTest, SaysWhichNotesCameNearest) {
  const auto answer = ask("How tall is the tower of Pisa in Zanzibar Federation territory?");
  ASSERT_TRUE(answer);
  ASSERT_TRUE(answer->refused);
  EXPECT_NE(answer->text.find("“Tower”"), std::string::npos);
}

TEST_F(AnswererTest, RefusesOverAnEmptyVault) {
  FakeService empty;
  const auto answerer = Answerer::create({}, empty, models_, leases_, metrics_);
  AskRequest request;
  request.question = "When was the bridge opened?";
  const auto answer = answerer->ask(request, Deadline::never(), cancel_, {});
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->refused);
}

TEST_F(AnswererTest, AnswersFromAVaultOfTwoNotes) {
  FakeService small;
  small.add_note("bread.md", "Bread",
                 "# Bread\n\nThe dough rests for eight hours in the fridge.\nBake at 240 degrees.");
  small.add_note("bike.md", "Bike", "# Bike\n\nThe bike has its next service in March.");
  const auto answerer = Answerer::create({}, small, models_, leases_, metrics_);
  const auto refused = [&](std::string question) {
    AskRequest request;
    request.question = std::move(question);
    const auto answer = answerer->ask(request, Deadline::never(), cancel_, {});
    return !answer || answer->refused;
  };
  EXPECT_FALSE(refused("How long does the dough rest?"));
  EXPECT_FALSE(refused("How long must the bread dough rest in the fridge?"));
  EXPECT_FALSE(refused("When is the next service of the bike?"));
  EXPECT_TRUE(refused("Who wrote Hamlet?"));
  EXPECT_TRUE(refused("What is the capital of Australia?"));
  EXPECT_TRUE(refused("How long is the river Elbe?"));
}

TEST_F(AnswererTest, QuotesASentenceOnceThoughTwoNotesHoldIt) {
  index_.add_note("a.md", "Privacy",
                  "Nothing leaves your machine unless you configure a remote model.");
  index_.add_note("b.md", "Questions",
                  "No. Nothing leaves your machine unless you configure a remote model.");
  index_.add_note("c.md", "Copy",
                  "Nothing leaves your machine, unless you configure a remote model!");
  const auto answer = ask("Does anything leave my machine?", Mode::kExtractive);
  ASSERT_TRUE(answer);
  ASSERT_FALSE(answer->refused);
  EXPECT_EQ(answer->citations.size(), 1U) << answer->text;
}

TEST_F(AnswererTest, QuotesNoSentenceThatOnlyRepeatsTheQuestion) {
  FakeService vault;
  vault.add_note("models.md", "Models",
                 "# Models\n\nSee [[Usable models]].\n\nKnap comes with MiniLM for search, and any "
                 "server that speaks the OpenAI protocol may word the answers instead of the usual "
                 "usable models.");
  const auto answerer = Answerer::create({}, vault, models_, leases_, metrics_);
  AskRequest request;
  request.question = "Which models are usable?";
  request.mode = Mode::kExtractive;
  const auto answer = answerer->ask(request, Deadline::never(), cancel_, {});
  ASSERT_TRUE(answer);
  ASSERT_FALSE(answer->citations.empty());
  EXPECT_TRUE(answer->citations[0].quote.starts_with("Knap comes with MiniLM"));
}

TEST_F(AnswererTest, QuotesWhenTheModelAsksBack) {
  give_model("Question: How was the bridge of Loschwitz designed? [1]");
  const auto answer = ask("How was the bridge of Loschwitz designed?");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->mode, "extractive");
}

TEST_F(AnswererTest, LeavesOutHeadingsThatTheModelCopies) {
  give_model("(Bridge of Loschwitz) [1] The engineer Claus Koepcke designed the steel frame. [1]");
  const auto answer = ask("Who designed the steel frame of the bridge of Loschwitz?");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->mode, "generative");
  EXPECT_TRUE(answer->text.starts_with("The engineer Claus Koepcke")) << answer->text;
}

TEST_F(AnswererTest, QuotesWhenTheModelGivesAFragment) {
  give_model("Frame design [1].");
  const auto answer = ask("How was the bridge of Loschwitz designed?");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->mode, "extractive");
}

TEST_F(AnswererTest, TakesTheModelsWordingWhenItIsSupported) {
  give_model("The bridge was opened in July 1893 [1].");
  const auto answer = ask("When was the bridge of Loschwitz opened?");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->mode, "generative");
  EXPECT_EQ(answer->model, "fake-model");
  EXPECT_EQ(answer->text, "The bridge was opened in July 1893. [1]");
  EXPECT_EQ(told_, answer->text);
  EXPECT_EQ(answer->prompt_tokens, 100U);
}

TEST_F(AnswererTest, TellsTheModelWhoWaits) {
  give_model("The bridge was opened in July 1893. [1]");
  AskRequest request;
  request.question = "When was the bridge of Loschwitz opened?";
  request.priority = models::Priority::kBackground;
  request.tenant = "ann";
  ASSERT_TRUE(answerer_->ask(request, Deadline::never(), cancel_, {}));
  const auto& asked = models_.generator_model->last_request();
  EXPECT_EQ(asked.priority, models::Priority::kBackground);
  EXPECT_EQ(asked.tenant, "ann");
}

TEST_F(AnswererTest, QuotesWhenTheModelInvents) {
  give_model("The bridge was opened in May 1901 [1]. And then it closed.");
  const auto answer = ask("When was the bridge of Loschwitz opened?");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->mode, "extractive");
  EXPECT_TRUE(answer->model.empty());
  EXPECT_EQ(told_, answer->text) << "nothing invented may have been told";
  EXPECT_EQ(told_.find("1901"), std::string::npos);
  EXPECT_FALSE(answer->degraded.empty());
  EXPECT_TRUE(models_.generator_model->stopped_early());
}

TEST_F(AnswererTest, RepairsAWrongMark) {
  give_model("The bridge was opened in July 1893 [9].");
  const auto answer = ask("When was the bridge of Loschwitz opened?");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->mode, "generative");
  EXPECT_EQ(answer->text, "The bridge was opened in July 1893. [1]");
}

TEST_F(AnswererTest, QuotesWhenTheModelOnlyRepeatsTheQuestion) {
  give_model("The bridge of Loschwitz was opened [1].");
  const auto answer = ask("When was the bridge of Loschwitz opened?");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->mode, "extractive");
}

TEST_F(AnswererTest, LeavesOutUnsupportedStatementsInGenerativeMode) {
  give_model("The bridge was opened in July 1893 [1]. It cost 9 million marks [1]. ");
  const auto answer = ask("When was the bridge of Loschwitz opened?", Mode::kGenerative);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->mode, "generative");
  EXPECT_EQ(answer->text.find("million"), std::string::npos);
  for (const Claim& claim : answer->claims) EXPECT_NE(claim.verdict, Verdict::kUnsupported);
  EXPECT_EQ(told_, answer->text);
  EXPECT_FALSE(answer->degraded.empty());
}

TEST_F(AnswererTest, AnswersWhenTheModelFails) {
  give_model("");
  models_.generator_model->set_failure(make_error(ErrorCode::kUnavailable, "the runner crashed"));
  const auto answer = ask("When was the bridge of Loschwitz opened?");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->mode, "extractive");
  ASSERT_FALSE(answer->degraded.empty());
  EXPECT_NE(answer->degraded[0].find("the runner crashed"), std::string::npos);
}

TEST_F(AnswererTest, QuotesWhenThereIsNoTimeForTheModel) {
  give_model("The bridge was opened in July 1893 [1].");
  const auto answer = ask("When was the bridge of Loschwitz opened?", Mode::kAuto,
                          Deadline::after(std::chrono::milliseconds(500)));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->mode, "extractive");
  EXPECT_EQ(models_.generator_model->calls(), 0U);
  EXPECT_FALSE(answer->degraded.empty());
}

TEST_F(AnswererTest, TrustsClearQuotesOverAModelThatKnowsNothing) {
  give_model("Not in the notes.");
  const auto answer = ask("When was the bridge of Loschwitz opened?");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->mode, "extractive");
}

TEST_F(AnswererTest, GivesBackItsLease) {
  give_model("The bridge was opened in July 1893 [1].");
  ASSERT_TRUE(ask("When was the bridge of Loschwitz opened?"));
  EXPECT_EQ(leases_.usage().generation, 0U);
}

TEST_F(AnswererTest, SearchesWithTheEarlierQuestion) {
  AskRequest request;
  request.question = "When was it opened?";
  request.history = {{"user", "Where is the bridge of Loschwitz?"},
                     {"assistant", "Over the Elbe."}};
  const auto answer = answerer_->ask(request, Deadline::never(), cancel_, {});
  ASSERT_TRUE(answer);
  EXPECT_NE(index_.last_query().find("Loschwitz"), std::string::npos);
  ASSERT_FALSE(answer->citations.empty());
  EXPECT_EQ(answer->citations[0].path, "bridge.md");
}

TEST_F(AnswererTest, RefusesBadRequests) {
  EXPECT_EQ(ask("  ").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ask(std::string(4'097, 'x')).error().code, ErrorCode::kInvalidArgument);
  AskRequest request;
  request.question = "When?";
  request.model = "no-such-model";
  EXPECT_EQ(answerer_->ask(request, Deadline::never(), cancel_, {}).error().code,
            ErrorCode::kNotFound);
}

TEST_F(AnswererTest, ReportsSearchErrorsDeadlineAndCancellation) {
  EXPECT_EQ(ask("When was the bridge opened?", Mode::kAuto, Deadline::at(SteadyClock::now()))
                .error()
                .code,
            ErrorCode::kDeadlineExceeded);
  index_.set_failure(make_error(ErrorCode::kNotFound, "vault x"));
  EXPECT_EQ(ask("When was the bridge opened?").error().code, ErrorCode::kNotFound);
  cancel_.cancel();
  EXPECT_EQ(ask("When was the bridge opened?").error().code, ErrorCode::kCancelled);
}

TEST_F(AnswererTest, UsesMeaningWhereWordsDoNotMeet) {
  const auto embedder = std::make_shared<FakeEmbedder>(2, [](std::string_view text) {
    return text.find("Elbe") != std::string_view::npos ? std::vector<float>{1, 0}
                                                       : std::vector<float>{0, 1};
  });
  index_.set_embedding({1, 0}, embedder);
  const auto answer = ask("What does the bridge cross?", Mode::kExtractive);
  ASSERT_TRUE(answer);
  ASSERT_FALSE(answer->citations.empty());
  EXPECT_NE(answer->text.find("Elbe"), std::string::npos);
}

TEST_F(AnswererTest, AnswersWithoutMeaningWhenTheEmbedderFails) {
  const auto embedder = std::make_shared<FakeEmbedder>(2, [](std::string_view) {
    return std::vector<float>{1, 0};
  });
  embedder->set_failure(make_error(ErrorCode::kUnavailable, "starting"));
  index_.set_embedding({1, 0}, embedder);
  const auto answer = ask("When was the bridge of Loschwitz opened?", Mode::kExtractive);
  ASSERT_TRUE(answer);
  EXPECT_FALSE(answer->refused);
  ASSERT_EQ(answer->degraded.size(), 1U);
}

TEST_F(AnswererTest, SaysWhenTheIndexIsNotWhole) {
  index_.set_coverage(.25);
  const auto answer = ask("Who is the king of Norway?");
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->refused);
  EXPECT_THAT(answer->degraded, testing::Contains("index: 25 % of the files are read so far"));
}

TEST_F(AnswererTest, NeverPastesALongRun) {
  std::string run = "The quarry report lists";
  for (int i = 0; i < 400; ++i) run += " stone, gravel and sand";
  index_.add_note("quarry.md", "Quarry", run + " and finally granite blocks of Meissen");
  const auto answer = ask("Which granite blocks of Meissen are in the quarry?", Mode::kExtractive);
  ASSERT_TRUE(answer);
  ASSERT_FALSE(answer->citations.empty());
  EXPECT_LE(answer->citations[0].quote.size(), kMaxQuoteBytes);
  EXPECT_NE(answer->citations[0].quote.find("granite"), std::string::npos);
  EXPECT_LE(answer->text.size(), 1'200U);
}

TEST_F(AnswererTest, QuotesListItems) {
  const auto answer =
      ask("How many grams of potatoes does the potato soup need?", Mode::kExtractive);
  ASSERT_TRUE(answer);
  ASSERT_FALSE(answer->citations.empty());
  EXPECT_EQ(answer->citations[0].quote, "Peel 500 grams of potatoes");
  EXPECT_EQ(answer->citations[0].lines, (vault::LineRange{3, 3}));
}

TEST(Confidence, GrowsWithWhatSpeaksForAnAnswer) {
  ConfidenceFeatures good{
      .passage_share = 0.9F, .sentence_share = 0.8F, .margin = 0.5F, .cosine = 0.7F};
  ConfidenceFeatures bad{.passage_share = 0.25F,
                         .sentence_share = 0.2F,
                         .missing_rare = 0.8F,
                         .unknown = 0.4F,
                         .cosine = 0.25F};
  EXPECT_GT(confidence(good), 0.9);
  EXPECT_LT(confidence(bad), 0.1);
  ConfidenceFeatures no_name = good;
  no_name.missing_names = 1;
  EXPECT_LT(confidence(no_name), confidence(good));
  ConfidenceFeatures foreign{.passage_share = 0.1F, .cosine = 0.7F, .foreign = true};
  EXPECT_GT(confidence(foreign), 0.5);
}

TEST_F(AnswererTest, RecallsAnAnswerOfTheSamePassages) {
  AskRequest request;
  request.question = "When was the bridge opened?";
  request.mode = Mode::kExtractive;
  std::vector<Hash128> prints;
  std::optional<Answer> kept;
  Listener listener;
  listener.recall = [&](const Considered& considered) {
    EXPECT_FALSE(considered.hits.empty());
    prints.push_back(considered.print);
    return kept;
  };
  auto answer = answerer_->ask(request, Deadline::never(), {}, listener);
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->repeatable);
  EXPECT_TRUE(answer->cached.empty());
  kept = *answer;
  kept->text = "kept";
  kept->cached = "l1";
  std::string told;
  listener.on_token = [&](std::string_view token) {
    told += token;
    return true;
  };
  answer = answerer_->ask(request, Deadline::never(), {}, listener);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->text, "kept");
  EXPECT_EQ(told, "kept");
  ASSERT_EQ(prints.size(), 2U);
  EXPECT_EQ(prints[0], prints[1]);
}

}  // namespace
}  // namespace knap::answer
