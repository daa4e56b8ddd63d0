#include "boilerplate.hpp"

#include <gtest/gtest.h>

namespace knap::index {
namespace {

constexpr std::string_view kFooter = "Hub footer: please do not edit anything below this line";

Boilerplate learn(std::size_t notes, std::size_t with_footer) {
  Boilerplate::Learner learner;
  for (std::size_t i = 0; i < notes; ++i) {
    std::string own = "This is what note number " + std::to_string(i) + " says about itself";
    if (i < with_footer) own += "\n" + std::string(kFooter) + "\n" + std::string(kFooter);
    const std::vector<std::string_view> texts = {own, "Python"};
    learner.add(texts);
  }
  return learner.finish();
}

TEST(Boilerplate, LearnsLinesThatManyNotesHold) {
  const Boilerplate learned = learn(100, 30);
  EXPECT_EQ(learned.size(), 1U);
  const auto parts = learned.split("My own words\n  " + std::string(kFooter) + " \nMore words");
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->plain, "My own words\nMore words");
  EXPECT_EQ(parts->faint, "  " + std::string(kFooter) + " ");
}

TEST(Boilerplate, LeavesShortAndRareLinesAlone) {
  EXPECT_TRUE(learn(100, Boilerplate::kRepeatsMin - 1).empty());
  EXPECT_EQ(learn(100, Boilerplate::kRepeatsMin).size(), 1U);
  EXPECT_FALSE(learn(100, 50).split("Python"));
}

TEST(Boilerplate, LearnsNothingFromFewNotes) {
  EXPECT_TRUE(learn(Boilerplate::kNotesMin - 1, 50).empty());
}

TEST(Boilerplate, NeedsALargerNumberInALargerVault) {
  EXPECT_TRUE(learn(3'000, 29).empty());
  EXPECT_FALSE(learn(3'000, 30).empty());
}

TEST(Boilerplate, GivesATextOfNothingElseBackWhole) {
  const auto parts = learn(100, 50).split(kFooter);
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->plain, kFooter);
  EXPECT_EQ(parts->faint, kFooter);
}

TEST(Boilerplate, SurvivesTheStoreAndReadsDamageAsNothing) {
  const Boilerplate learned = learn(100, 50);
  const std::string bytes = learned.encode();
  EXPECT_EQ(Boilerplate::decode(bytes).size(), learned.size());
  EXPECT_TRUE(Boilerplate::decode(bytes).split(kFooter).has_value());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_TRUE(Boilerplate::decode(std::string_view(bytes).substr(0, size)).empty());
  EXPECT_TRUE(Boilerplate::decode(bytes + "x").empty());
  EXPECT_TRUE(Boilerplate::decode("\xff\xff\xff\xff").empty());
}

}  // namespace
}  // namespace knap::index
