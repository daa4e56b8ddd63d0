#include "knap/models/recommend.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "test_folder.hpp"

namespace knap::models {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kGiB = 1ULL << 30;

class RecommendTest : public testing::Test {
 protected:
  Recommendation recommend(const ModelWish& wish) const {
    ModelsOptions options;
    options.models_dir = folder_.path();
    auto result = recommend_model(options, hardware_, wish);
    EXPECT_TRUE(result) << result.error().message;
    return result ? *std::move(result) : Recommendation{};
  }
  static ModelProspect find(const Recommendation& all, std::string_view name) {
    const auto found = std::ranges::find(all.prospects, name, &ModelProspect::name);
    return found == all.prospects.end() ? ModelProspect{} : *found;
  }
  TestFolder folder_;
  Hardware hardware_{.cores = 2,
                     .instruction_sets = {"avx2", "avx512_vnni"},
                     .memory_bytes = 24 * kGiB,
                     .bytes_per_second = 25e9};
};

TEST_F(RecommendTest, TakesTheLargestThatAnswersInTime) {
  const auto all = recommend({});
  ASSERT_FALSE(all.name.empty());
  const auto best = find(all, all.name);
  EXPECT_LE(best.answer_seconds, 30);
  for (const auto& each : all.prospects) {
    if (each.against.empty()) {
      EXPECT_LE(each.parameters, best.parameters) << each.name;
    }
  }
  EXPECT_THAT(all.why, HasSubstr("weights"));
  EXPECT_THAT(all.why, HasSubstr("s an answer"));
}

TEST_F(RecommendTest, SpeedAndMemoryTakeTheSmallest) {
  for (const auto preference : {Preference::kSpeed, Preference::kMemory}) {
    const auto all = recommend({.preference = preference});
    EXPECT_EQ(all.name, "smollm2-135m-instruct");
  }
}

TEST_F(RecommendTest, ALanguageRulesOutWhatDoesNotKnowIt) {
  const auto all = recommend({.preference = Preference::kSpeed, .language = "de"});
  EXPECT_NE(all.name, "smollm2-135m-instruct");
  EXPECT_THAT(find(all, "smollm2-135m-instruct").against, HasSubstr("not trained for 'de'"));
  EXPECT_EQ(recommend({.role = "embed", .language = "de"}).name, "multilingual-e5-small");
}

TEST_F(RecommendTest, NothingBeyondTheMemoryIsProposed) {
  const auto all = recommend({.memory_bytes = kGiB});
  EXPECT_LE(find(all, all.name).memory_bytes, kGiB);
  EXPECT_THAT(find(all, "qwen2.5-coder-1.5b-instruct").against, HasSubstr("1.0 GiB for models"));
  const auto none = recommend({.memory_bytes = 1'000'000});
  EXPECT_TRUE(none.name.empty());
  EXPECT_THAT(none.why, HasSubstr("no model of the catalogue fits"));
}

TEST_F(RecommendTest, ASlowMachineGetsASmallerOne) {
  const auto quick = recommend({});
  hardware_.cores = 1;
  hardware_.instruction_sets.clear();
  const auto slow = recommend({});
  EXPECT_LT(find(slow, slow.name).parameters, find(quick, quick.name).parameters);
}

TEST_F(RecommendTest, RefusesARoleThatItDoesNotKnow) {
  const auto wrong = recommend_model({}, hardware_, {.role = "speech"});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::kInvalidArgument);
}

TEST(Hardware, IsProbed) {
  const Hardware found = probe_hardware(2);
  EXPECT_EQ(found.cores, 2U);
  EXPECT_GT(found.memory_bytes, kGiB / 4);
  EXPECT_GT(found.bytes_per_second, 1e8);
}

}  // namespace
}  // namespace knap::models
