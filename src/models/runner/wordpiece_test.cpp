#include "runner/wordpiece.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test_folder.hpp"

namespace knap::models::runner {
namespace {

using testing::ElementsAre;

constexpr const char* kVocabulary =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\n##aff\n##able\nelan\n,\n\u6f22\nx\n##x\r\n";

const Wordpiece& small() {
  static const auto parsed = Wordpiece::parse(kVocabulary);
  return parsed.value();
}

TEST(Wordpiece, CutsIntoLongestPieces) {
  EXPECT_THAT(small().encode("UNaffable", 9).ids, ElementsAre(2, 4, 5, 6, 3));
}

TEST(Wordpiece, StripsAccentsAndSplitsAtPunctuationAndHan) {
  EXPECT_THAT(small().encode("Élan,\u6f22un", 99).ids, ElementsAre(2, 7, 8, 9, 4, 3));
}

TEST(Wordpiece, MakesWordsWithUnknownPartsUnknown) {
  EXPECT_THAT(small().encode("unable unz", 9).ids, ElementsAre(2, 4, 6, 1, 3));
}

TEST(Wordpiece, NeverReadsSpecialPiecesFromText) {
  EXPECT_THAT(small().encode("[SEP]", 9).ids, ElementsAre(2, 1, 1, 1, 3));
}

TEST(Wordpiece, CutsAtTheWindow) {
  const auto tokens = small().encode(std::string(1'000'000, ','), 5);
  EXPECT_THAT(tokens.ids, ElementsAre(2, 8, 8, 8, 3));
  EXPECT_TRUE(tokens.cut);
  EXPECT_FALSE(small().encode(",,,", 5).cut);
}

TEST(Wordpiece, TakesBrokenUtf8) {
  EXPECT_THAT(small().encode("\xff\xfeun\xc3", 9).ids, ElementsAre(2, 4, 3));
}

TEST(Wordpiece, LimitsTheLengthOfWords) {
  EXPECT_EQ(small().encode(std::string(100, 'x'), 500).ids.size(), 102U);
  EXPECT_THAT(small().encode(std::string(101, 'x'), 500).ids, ElementsAre(2, 1, 3));
}

TEST(Wordpiece, RefusesVocabulariesWithoutSpecialPieces) {
  EXPECT_FALSE(Wordpiece::parse("a\nb\n"));
}

// Ids from the tokenizer that the model was published with.
TEST(Wordpiece, GivesThePublishedIdsOfMiniLm) {
  const auto file = installed_models_dir() / "all-minilm-l6-v2" / "vocab.txt";
  if (!std::filesystem::exists(file))
    GTEST_SKIP() << "all-minilm-l6-v2 is not installed; set KNAP_MODELS_DIR";
  const auto tokenizer = Wordpiece::open(file);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  const auto ids = [&](std::string_view text) { return tokenizer->encode(text, 256).ids; };
  EXPECT_THAT(ids(""), ElementsAre(101, 102));
  EXPECT_THAT(ids("The quick brown fox jumps over the lazy dog."),
              ElementsAre(101, 1996, 4248, 2829, 4419, 14523, 2058, 1996, 13971, 3899, 1012, 102));
  EXPECT_THAT(ids("Élan naïve Straße ﬁ ŒUVRE"),
              ElementsAre(101, 3449, 2319, 15743, 2358, 27807, 1984, 1107, 2226, 12229, 102));
  EXPECT_THAT(ids("漢字かな交じり文 中文"),
              ElementsAre(101, 1904, 100, 1651, 30193, 100, 1657, 30212, 1861, 1746, 1861, 102));
  EXPECT_THAT(ids("한국어 문장"), ElementsAre(101, 1469, 30006, 30021, 29991, 30014, 30020, 29999,
                                              30008, 1459, 30014, 30021, 30000, 30006, 30025, 102));
  EXPECT_THAT(ids("unaffable snake_case camelCase C++ foo-bar_baz"),
              ElementsAre(101, 14477, 20961, 3468, 7488, 1035, 2553, 19130, 18382, 1039, 1009, 1009,
                          29379, 1011, 3347, 1035, 8670, 2480, 102));
  EXPECT_THAT(ids("1,234.56 €5 ½ ² Ⅻ"),
              ElementsAre(101, 1015, 1010, 22018, 1012, 5179, 1574, 2629, 1092, 1082, 100, 102));
  EXPECT_THAT(ids("Привет, мир! Ёлка й"),
              ElementsAre(101, 1194, 16856, 10325, 25529, 15290, 22919, 1010, 1191, 10325, 16856,
                          999, 1185, 29436, 28598, 1188, 102));
  EXPECT_THAT(ids("नमस्ते दुनिया"),
              ElementsAre(101, 1327, 29867, 29874, 29859, 1325, 29863, 29877, 29868, 29876, 102));
  EXPECT_THAT(ids("x\uf902y x\u0378y x\u0085y"),  // Han for compatibility, unassigned, control
              ElementsAre(101, 1060, 1954, 1061, 100, 1060, 2100, 102));
  EXPECT_THAT(ids("café\u0301 e\u0301"), ElementsAre(101, 7668, 1041, 102));
  EXPECT_THAT(ids("\u00a0nbsp\u3000wide"), ElementsAre(101, 1050, 5910, 2361, 2898, 102));
  EXPECT_THAT(ids(std::string_view("a\0b\u200dc\ufffd"
                                   "d",
                                   11)),
              ElementsAre(101, 5925, 2094, 102));
}

}  // namespace
}  // namespace knap::models::runner
