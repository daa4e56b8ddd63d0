#include <array>
#include <string>

#include <gmock/gmock.h>

#include "knap/base/text.hpp"
#include "knap/search/index.hpp"

namespace knap::search {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using testing::StartsWith;

std::vector<std::string> marked(const Snippet& snippet) {
  std::vector<std::size_t> offsets;
  for (std::size_t i = 0; i < snippet.text.size();) {
    offsets.push_back(i);
    text::decode(snippet.text, i);
  }
  offsets.push_back(snippet.text.size());
  std::vector<std::string> out;
  for (const auto& [begin, end] : snippet.highlights)
    out.push_back(snippet.text.substr(offsets.at(begin), offsets.at(end) - offsets.at(begin)));
  return out;
}

TEST(Snippet, ShortTextIsWholeWithHighlightsInCodePoints) {
  const std::vector<std::string> terms{"cafe", "open"};
  const Snippet snippet = make_snippet("Größe: the Café opens", terms, "en");
  EXPECT_EQ(snippet.text, "Größe: the Café opens");
  EXPECT_THAT(snippet.highlights, ElementsAre(Pair(11, 15), Pair(16, 21)));
  EXPECT_THAT(marked(snippet), ElementsAre("Café", "opens"));
}

TEST(Snippet, WindowHoldsTheMostTerms) {
  std::string plain;
  for (int i = 0; i < 100; ++i) plain += "filler words here. ";
  plain += "The zebra meets a lion at noon. ";
  for (int i = 0; i < 100; ++i) plain += "more filler zebra. ";
  const std::vector<std::string> terms{"zebra", "lion"};
  const Snippet snippet = make_snippet(plain, terms, "en", 120);
  EXPECT_LE(snippet.text.size(), 120U);
  EXPECT_THAT(snippet.text, StartsWith("…"));
  EXPECT_THAT(snippet.text, HasSubstr("zebra meets a lion"));
  EXPECT_THAT(marked(snippet), testing::IsSupersetOf({"zebra", "lion"}));
}

TEST(Snippet, CutsBetweenWordsAndCodePoints) {
  std::string plain;
  for (int i = 0; i < 300; ++i) plain += "äöü猫 ";
  for (const std::size_t size : {0U, 1U, 7U, 20U, 33U, 280U}) {
    const Snippet snippet = make_snippet(plain, std::vector<std::string>{"aou"}, "de", size);
    EXPECT_TRUE(text::is_valid_utf8(snippet.text)) << size;
    EXPECT_LE(snippet.text.size(), std::max<std::size_t>(size, 6)) << size;
  }
}

TEST(Snippet, NoTermsShowTheBeginning) {
  const Snippet snippet =
      make_snippet(std::string(50, 'a') + " " + std::string(500, 'b'), {}, "en", 100);
  EXPECT_THAT(snippet.text, StartsWith("aaaa"));
  EXPECT_TRUE(snippet.highlights.empty());
}

TEST(Snippet, PairsOfCharactersAreOneHighlight) {
  const std::vector<std::string> terms = analyse("机器学习", "zh");
  const Snippet snippet = make_snippet("关于机器学习的笔记", terms, "zh");
  EXPECT_THAT(marked(snippet), ElementsAre("机器学习"));
}

TEST(Snippet, MarksWordsWhateverTheirFirstLetterIs) {
  const auto marked = [](std::string_view text, const std::string& term,
                         std::string_view language) {
    return make_snippet(text, std::array{term}, language, 200).highlights.size();
  };
  EXPECT_EQ(marked("Releases are RELEASED", "releas", "en"), 2U);
  EXPECT_EQ(marked("Ärger über Ärger", "arg", "de"), 2U);
  // Indonesian stems lose their prefixes: membaca (to read) stands under baca.
  EXPECT_EQ(marked("Saya membaca buku", "baca", "id"), 1U);
}

}  // namespace
}  // namespace knap::search
