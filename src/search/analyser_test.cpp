#include "analyser.hpp"

#include <gmock/gmock.h>

#include "knap/search/index.hpp"

namespace knap::search {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

TEST(Analyser, FoldsAndStemsByLanguage) {
  EXPECT_THAT(analyse("Running Studies", "en"), ElementsAre("run", "studi"));
  EXPECT_EQ(analyse("Häuser", "de"), analyse("Haus", "de"));
  EXPECT_EQ(analyse("Élèves", "fr"), analyse("eleve", "fr"));
  EXPECT_EQ(analyse("книгами", "ru"), analyse("книга", "ru"));
  EXPECT_EQ(analyse("Häuser", "de-AT"), analyse("Häuser", "de"));
}

TEST(Analyser, StemsAsciiWordsOfUnknownLanguagesAsEnglish) {
  EXPECT_THAT(analyse("running", ""), ElementsAre("run"));
  EXPECT_THAT(analyse("running", "xx"), ElementsAre("run"));
}

TEST(Analyser, SplitsScriptsWithoutSpacesIntoPairs) {
  EXPECT_THAT(analyse("机器学习", "zh"), ElementsAre("机器", "器学", "学习"));
  EXPECT_THAT(analyse("猫", "zh"), ElementsAre("猫"));
  EXPECT_THAT(analyse("한국어", "ko"), ElementsAre("한국", "국어"));
  EXPECT_THAT(analyse("用Rust写", "zh"), ElementsAre("用", "rust", "写"));
}

TEST(Analyser, KeepsIdentifiersWholeAndInParts) {
  EXPECT_THAT(analyse("snake_case", "en"), ElementsAre("snake_case", "snake", "case"));
  EXPECT_THAT(analyse("parseJson", "en"), ElementsAre("parsejson", "pars", "json"));
  EXPECT_THAT(analyse("HTTPServer", "en"), Contains("server"));
  EXPECT_THAT(analyse("1.2.3", "en"), Contains("1.2.3"));
  EXPECT_THAT(analyse("mRNA iPhone PDFs", "en"), ElementsAre("mrna", "iphon", "pdfs"));
  EXPECT_THAT(analyse("src/main.cpp", "en"), Contains("main.cpp"));
}

TEST(Analyser, DropsClitics) {
  EXPECT_THAT(analyse("John's don't", "en"), ElementsAre("john", "don"));
  EXPECT_THAT(analyse("John’s", "en"), ElementsAre("john"));
  EXPECT_THAT(analyse("l'homme", "fr"), Contains("homm"));
}

TEST(Analyser, SkipsTokensOverTheLimit) {
  EXPECT_THAT(analyse(std::string(kTokenBytesMax + 1, 'a'), "en"), IsEmpty());
  EXPECT_EQ(analyse(std::string(kTokenBytesMax, '7'), "en").size(), 1U);
}

TEST(Analyser, SurvivesIllFormedText) {
  EXPECT_THAT(analyse("caf\xC3 ok\xFF", "en"), Contains("ok"));
  EXPECT_THAT(analyse("", "en"), IsEmpty());
  EXPECT_THAT(analyse("... ' _ . \xF0\x9F\x98\x80", "en"), IsEmpty());
}

TEST(Analyser, CountsPositionsByWord) {
  std::vector<std::uint32_t> positions;
  const std::uint32_t count = for_each_token(
      "one two_three four", [&](const Token& token) { positions.push_back(token.position); });
  EXPECT_THAT(positions, ElementsAre(0, 1, 1, 2, 3));
  EXPECT_EQ(count, 4U);
}

TEST(StopWords, AreKnownByLanguage) {
  EXPECT_TRUE(is_stop_word("the", "en"));
  EXPECT_FALSE(is_stop_word("die", "en"));
  EXPECT_TRUE(is_stop_word("die", "de"));
  EXPECT_TRUE(is_stop_word("fur", "de"));
  EXPECT_TRUE(is_stop_word("og", "nb"));
  EXPECT_FALSE(is_stop_word("house", "en"));
}

}  // namespace
}  // namespace knap::search
