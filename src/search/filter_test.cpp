#include "knap/search/filter.hpp"

#include <gmock/gmock.h>

#include "filter_tree.hpp"

namespace knap::search {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kNow = 1'767'268'800;  // 2026-01-01T12:00:00Z
constexpr std::int64_t kDay = 86'400;

NoteFacts sample() {
  NoteFacts facts;
  facts.path = "Projekte/Straße/Plan A.md";
  facts.name = "Plan A";
  facts.title = "The Great Plan";
  facts.type = "md";
  facts.language = "de";
  facts.tags = {"work/Client/x", "Wichtig"};
  facts.headings = {"First steps", "Budget"};
  facts.links_to = {"People/Ann.md", "Projekte/Ziel.md"};
  facts.modified_s = kNow - 3 * kDay;
  facts.created_s = kNow - 40 * kDay;
  facts.has_open_task = true;
  facts.properties = {{"status", {std::string("Done")}},
                      {"rating", {4.0}},
                      {"due date", {std::string("2026-02-10")}},
                      {"people", {std::string("Ann"), std::string("Bob")}},
                      {"pinned", {true}},
                      {"empty", {std::monostate{}}}};
  return facts;
}

bool matches(std::string_view text) {
  const auto filter = Filter::parse(text, kNow);
  EXPECT_TRUE(filter.has_value()) << text << ": " << (filter ? "" : filter.error().message);
  return filter && filter->matches(sample());
}

TEST(Filter, EmptyMatchesAll) {
  EXPECT_TRUE(matches(""));
  EXPECT_TRUE(matches("   "));
}

TEST(Filter, TagsNest) {
  EXPECT_TRUE(matches("tag:#work"));
  EXPECT_TRUE(matches("tag:WORK/client"));
  EXPECT_TRUE(matches("tag:work/client/"));
  EXPECT_FALSE(matches("tag:wor"));
  EXPECT_FALSE(matches("tag:client"));
  EXPECT_TRUE(matches("tag:*/client*"));
  EXPECT_TRUE(matches("tag:nothing|wichtig"));
}

TEST(Filter, TrustIsAPropertyThatImportingWrites) {
  NoteFacts page = sample();
  page.properties.push_back({"trust", {std::string("untrusted")}});
  const auto untrusted = Filter::parse("trust:Untrusted", kNow);
  const auto trusted = Filter::parse("trust:trusted", kNow);
  ASSERT_TRUE(untrusted && trusted);
  EXPECT_TRUE(untrusted->matches(page) && !trusted->matches(page));
  EXPECT_TRUE(!untrusted->matches(sample()) && trusted->matches(sample()));
  EXPECT_EQ(trusted->canonical(), "-" + untrusted->canonical());
  const auto wrong = Filter::parse("trust:maybe", kNow);
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, HasSubstr("trusted or untrusted"));
  EXPECT_EQ(wrong.error().character, 7U);
}

TEST(Filter, PathsBeginAndNamesContain) {
  EXPECT_TRUE(matches("path:projekte/"));
  EXPECT_TRUE(matches("path:\"Projekte/STRASSE/\""));
  EXPECT_FALSE(matches("path:Straße/"));
  EXPECT_TRUE(matches("path:*straße*"));
  EXPECT_TRUE(matches("file:\"plan a\""));
  EXPECT_TRUE(matches("file:Plan"));
  EXPECT_FALSE(matches("file:Projekte"));
  EXPECT_TRUE(matches("title:great"));
  EXPECT_TRUE(matches("heading:budget"));
  EXPECT_FALSE(matches("heading:summary"));
}

TEST(Filter, LinksNameNotesByPathOrName) {
  EXPECT_TRUE(matches("link:[[Ann]]"));
  EXPECT_TRUE(matches("link:[[People/Ann|she]]"));
  EXPECT_TRUE(matches("link:[[ann.md]]"));
  EXPECT_TRUE(matches("link:Ziel"));
  EXPECT_FALSE(matches("link:[[nn]]"));
}

TEST(Filter, PropertiesAreTyped) {
  EXPECT_TRUE(matches("prop.status:done"));
  EXPECT_FALSE(matches("prop.status:don"));
  EXPECT_TRUE(matches("prop.Rating>=4"));
  EXPECT_FALSE(matches("prop.rating>4"));
  EXPECT_TRUE(matches("prop.rating<4.5"));
  EXPECT_TRUE(matches("prop.rating:4.0"));
  EXPECT_TRUE(matches("prop.rating:1..5"));
  EXPECT_TRUE(matches("prop.people:bob"));
  EXPECT_TRUE(matches("prop.pinned:true"));
  EXPECT_FALSE(matches("prop.pinned:false"));
  EXPECT_TRUE(matches("prop.\"due date\"<2026-03"));
  EXPECT_TRUE(matches("prop.\"due date\":2026-02"));
  EXPECT_TRUE(matches("prop.\"due date\":2026-01..2026-02"));
  EXPECT_FALSE(matches("prop.\"due date\">2026-02-10"));
  EXPECT_TRUE(matches("has:prop.rating"));
  EXPECT_FALSE(matches("has:prop.due"));
  EXPECT_TRUE(matches("prop.empty:\"\""));
}

TEST(Filter, DatesTakeRangesAndAges) {
  EXPECT_TRUE(matches("modified:7d"));
  EXPECT_FALSE(matches("modified:2d"));
  EXPECT_TRUE(matches("modified:2025-12"));
  EXPECT_TRUE(matches("modified:2025-12-29"));
  EXPECT_FALSE(matches("modified:today"));
  EXPECT_TRUE(matches("modified:>2025-12-28"));
  EXPECT_FALSE(matches("modified:>2025-12-29"));
  EXPECT_TRUE(matches("modified:>=2025-12-29"));
  EXPECT_TRUE(matches("modified:<2026"));
  EXPECT_TRUE(matches("created:2025-11..2025-12"));
  EXPECT_TRUE(matches("created:..2025-12"));
  EXPECT_FALSE(matches("created:2026-01.."));
  EXPECT_TRUE(matches("created:60d..30d"));
}

TEST(Filter, TypeTaskAndLanguage) {
  EXPECT_TRUE(matches("type:md|pdf"));
  EXPECT_FALSE(matches("type:canvas"));
  EXPECT_TRUE(matches("task:todo"));
  EXPECT_FALSE(matches("task:done"));
  EXPECT_TRUE(matches("lang:DE"));
}

TEST(Filter, CombinesTerms) {
  EXPECT_TRUE(matches("tag:work type:md"));
  EXPECT_FALSE(matches("tag:work type:pdf"));
  EXPECT_TRUE(matches("type:pdf OR tag:work"));
  EXPECT_TRUE(matches("type:pdf OR tag:work -task:done"));
  EXPECT_FALSE(matches("(type:pdf OR tag:work) task:done"));
  EXPECT_TRUE(matches("-(type:pdf task:todo)"));
  EXPECT_TRUE(matches("tag:work AND lang:de"));
  EXPECT_TRUE(matches("--tag:work"));
}

TEST(Filter, ErrorsPointAtTheCharacter) {
  const auto error = [](std::string_view text) {
    const auto filter = Filter::parse(text, kNow);
    EXPECT_FALSE(filter.has_value()) << text;
    return filter ? FilterError{} : filter.error();
  };
  EXPECT_THAT(error("tga:x").message, HasSubstr("tag:"));
  EXPECT_EQ(error("tag:ä tittle:x").character, 7U);
  EXPECT_EQ(error("tag:ä tittle:x").offset, 7U);
  EXPECT_THAT(error("tag:ä tittle:x").message, HasSubstr("title:"));
  EXPECT_EQ(error("(tag:a").character, 1U);
  EXPECT_EQ(error("tag:a)").character, 6U);
  EXPECT_EQ(error("tag:").character, 5U);
  EXPECT_EQ(error("path:\"open").character, 6U);
  EXPECT_EQ(error("tag:a OR").character, 9U);
  EXPECT_EQ(error("OR tag:a").character, 1U);
  EXPECT_EQ(error("modified:soon").character, 10U);
  EXPECT_EQ(error("modified:2026-13").character, 10U);
  EXPECT_THAT(error("task:maybe").message, HasSubstr("todo"));
  EXPECT_THAT(error("near:[[A]]~9").message, HasSubstr("1 to 5"));
  EXPECT_THAT(error("has:due").message, HasSubstr("has:prop."));
  EXPECT_THAT(error("prop.x").message, HasSubstr(">="));
  EXPECT_EQ(error("plain words").character, 1U);
  error("- tag:a");
  error("prop.:1");
  error("\xFF");
}

TEST(Filter, LimitsHold) {
  EXPECT_FALSE(Filter::parse(std::string(kFilterBytesMax + 1, ' '), kNow));
  std::string many, deep;
  for (std::uint32_t i = 0; i <= kFilterNodesMax; ++i) many += "tag:a ";
  for (std::uint32_t i = 0; i <= kFilterDepthMax + 1; ++i) deep += "(";
  EXPECT_FALSE(Filter::parse(many, kNow));
  EXPECT_FALSE(Filter::parse(deep + "tag:a", kNow));
  EXPECT_FALSE(Filter::parse(std::string(200, '-') + "tag:a", kNow));
}

TEST(Filter, CanonicalTextIsTheSameForEqualFilters) {
  const auto canonical = [](std::string_view text) {
    return Filter::parse(text, kNow)->canonical();
  };
  EXPECT_EQ(canonical("tag:a  type:md"), canonical("type:md (tag:#A)"));
  EXPECT_EQ(canonical("type:pdf|md"), canonical("type:md|pdf"));
  EXPECT_EQ(canonical("--tag:a"), canonical("tag:a"));
  EXPECT_EQ(canonical("(tag:a tag:b) tag:c"), canonical("tag:c tag:b tag:a tag:a"));
  EXPECT_NE(canonical("tag:a OR tag:b"), canonical("tag:a tag:b"));
  EXPECT_NE(canonical("prop.x:1"), canonical("prop.x>=1"));
  EXPECT_NE(canonical("prop.x:1"), canonical("prop.x:\"1\""));
  EXPECT_NE(canonical("near:[[A]]~1"), canonical("near:[[A]]~2"));
  EXPECT_NE(canonical("modified:1d"), canonical("modified:2d"));
  EXPECT_EQ(canonical(""), "");
}

TEST(Filter, GlobsAreNotExponential) {
  std::string pattern, text(4000, 'a');
  for (int i = 0; i < 50; ++i) pattern += "a*";
  EXPECT_TRUE(matches_glob(pattern, text));
  EXPECT_FALSE(matches_glob(pattern + "b", text));
}

}  // namespace
}  // namespace knap::search
