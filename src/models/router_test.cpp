#include "router.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "route_log.hpp"
#include "test_folder.hpp"

namespace knap::models {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

RouteOption option(const std::string& name) {
  RouteOption out;
  out.model = name;
  out.context = 4'096;
  return out;
}

struct RouterTest : testing::Test {
  RouteNeed need;
  std::vector<RouteOption> options;
  std::vector<RouteCandidate> ranked;

  RouterTest() {
    need.prompt_tokens = 700;
    need.answer_tokens = 160;
  }
  std::vector<std::string> order() {
    std::vector<std::shared_ptr<Generator>> chain;
    ranked = rank(need, options, chain);
    std::vector<std::string> names;
    for (const RouteCandidate& each : ranked)
      if (each.usable) names.push_back(each.model);
    EXPECT_EQ(chain.size(), names.size());
    return names;
  }
  std::string reason(const std::string& model) const {
    for (const RouteCandidate& each : ranked)
      if (each.model == model) return each.reason;
    return "absent";
  }
};

TEST_F(RouterTest, KeepsTheOwnersOrderWhereNothingSpeaksAgainstIt) {
  options = {option("b"), option("a"), option("c")};
  EXPECT_THAT(order(), ElementsAre("b", "a", "c"));
}

TEST_F(RouterTest, NeverSendsWhatStaysHereToARemoteModel) {
  options = {option("far"), option("near")};
  options[0].remote = true;
  EXPECT_THAT(order(), ElementsAre("far", "near"));
  need.reach = Reach::kThisMachine;
  EXPECT_THAT(order(), ElementsAre("near"));
  EXPECT_THAT(reason("far"), HasSubstr("kept on this machine"));
  options.pop_back();
  EXPECT_THAT(order(), ElementsAre());
}

TEST_F(RouterTest, LeavesOutWhatIsBrokenOrTooNarrow) {
  options = {option("broken"), option("narrow"), option("good")};
  options[0].unusable = "failed: no such file";
  options[1].context = 512;
  EXPECT_THAT(order(), ElementsAre("good"));
  EXPECT_THAT(reason("broken"), HasSubstr("no such file"));
  EXPECT_THAT(reason("narrow"), HasSubstr("860 tokens are expected, its context holds 512"));
}

TEST_F(RouterTest, PutsWhatByMeasuredSpeedIsLateBehindWhatIsNot) {
  options = {option("slow"), option("fast"), option("unmeasured")};
  options[0].speed = {.read_per_second = 70, .write_per_second = 20};    // 18 s
  options[1].speed = {.read_per_second = 300, .write_per_second = 100};  // 3.9 s
  EXPECT_THAT(order(), ElementsAre("slow", "fast", "unmeasured")) << "no deadline";
  need.deadline = Deadline::after(8s);
  EXPECT_THAT(order(), ElementsAre("fast", "unmeasured", "slow"));
  EXPECT_THAT(reason("slow"), HasSubstr("would take 18000 ms"));
  need.deadline = Deadline::after(40s);
  EXPECT_THAT(order(), ElementsAre("slow", "fast", "unmeasured"));
}

TEST_F(RouterTest, CountsLoadingWhereTheModelIsNotLoaded) {
  options = {option("cold"), option("warm")};
  options[0].loaded = false;
  options[0].load_time = 6s;
  need.deadline = Deadline::after(8s);
  EXPECT_THAT(order(), ElementsAre("warm", "cold"));
  EXPECT_THAT(reason("cold"), HasSubstr("not loaded"));
  need.deadline = Deadline::after(60s);
  EXPECT_THAT(order(), ElementsAre("cold", "warm"));
}

TEST_F(RouterTest, PrefersModelsOfTheLanguage) {
  options = {option("english"), option("many"), option("any")};
  options[0].languages = {"en"};
  options[1].languages = {"en", "de"};
  options[2].languages = {"*"};
  need.language = "de";
  EXPECT_THAT(order(), ElementsAre("many", "any", "english"));
  need.language = "en";
  EXPECT_THAT(order(), ElementsAre("english", "many", "any"));
}

TEST_F(RouterTest, SpendsNothingOnWhatNobodyWaitsFor) {
  options = {option("paid"), option("free")};
  options[0].costs = true;
  EXPECT_THAT(order(), ElementsAre("paid", "free"));
  need.priority = Priority::kBackground;
  EXPECT_THAT(order(), ElementsAre("free", "paid"));
}

TEST(RouteLog, KeepsTheLastChoicesAndTheirAttempts) {
  RouteLog log;
  for (std::size_t i = 0; i < RouteLog::kRecordsMax + 1; ++i) {
    RouteRecord record;
    record.request_id = "r" + std::to_string(i);
    log.add(std::move(record));
  }
  EXPECT_FALSE(log.find("r0"));
  ASSERT_TRUE(log.find("r1"));
  for (std::size_t i = 0; i < 2 * RouteLog::kAttemptsMax; ++i) log.attempt("r1", {.model = "m"});
  EXPECT_EQ(log.find("r1")->attempts.size(), RouteLog::kAttemptsMax);
  log.attempt("unknown", {});
}

TEST(SentLog, WritesALineForTheOwnerAloneOrSaysThatItCannot) {
  const TestFolder folder;
  const auto file = folder.path() / "sent.jsonl";
  SentLog log(file);
  const SentLog::Entry entry{.request_id = "r",
                             .model = "remote:m",
                             .server = "h:1",
                             .notes = {{"v", "A \"quoted\".md", 3, 4}},
                             .bytes = 9};
  ASSERT_TRUE(log.write(entry));
  ASSERT_TRUE(log.write(entry));
  std::ifstream in(file);
  std::string line;
  ASSERT_TRUE(std::getline(in, line));
  EXPECT_THAT(line, HasSubstr(R"("notes":[{"vault":"v","path":"A \"quoted\".md","lines":[3,4]}])"));
  EXPECT_EQ(std::filesystem::status(file).permissions(), std::filesystem::perms(0600));
  SentLog nowhere(folder.path() / "absent" / "sent.jsonl");
  const auto failed = nowhere.write(entry);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace knap::models
