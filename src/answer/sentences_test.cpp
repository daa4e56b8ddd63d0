#include "sentences.hpp"

#include <gtest/gtest.h>

namespace knap::answer {
namespace {

std::vector<std::string> shown(std::string_view passage, std::string_view language = "en") {
  std::vector<std::string> out;
  for (const Sentence& sentence : split_sentences(passage, 1, language))
    out.push_back(sentence.plain);
  return out;
}

using Strings = std::vector<std::string>;

TEST(Sentences, EndAtFullStopsBeforeCapitals) {
  EXPECT_EQ(shown("One thing. Another thing! A third?"),
            (Strings{"One thing.", "Another thing!", "A third?"}));
}

TEST(Sentences, GoOnAfterAbbreviationsInitialsAndDecimals) {
  EXPECT_EQ(
      shown("Dr. Smith met J. R. Jones at 3.5 km. They spoke, e.g. About rain, vs. Snow."),
      (Strings{"Dr. Smith met J. R. Jones at 3.5 km.", "They spoke, e.g. About rain, vs. Snow."}));
  EXPECT_EQ(shown("See www.example.org. and version 1.2.3 of it"),
            (Strings{"See www.example.org. and version 1.2.3 of it"}));
}

TEST(Sentences, TakeNoForAnAbbreviationOnlyBeforeANumber) {
  EXPECT_EQ(shown("The answer is no. The door stays shut. See No. 5 and Nr. 7."),
            (Strings{"The answer is no.", "The door stays shut.", "See No. 5 and Nr. 7."}));
}

TEST(Sentences, ReadGermanOrdinalsAsInner) {
  EXPECT_EQ(shown("Das war am 3. Oktober in Bonn. Es regnete z.B. Nägel.", "de"),
            (Strings{"Das war am 3. Oktober in Bonn.", "Es regnete z.B. Nägel."}));
  EXPECT_EQ(shown("It scored 24. Then it lost.", "en"),
            (Strings{"It scored 24.", "Then it lost."}));
}

TEST(Sentences, EndAtWideStopsWithoutSpace) {
  EXPECT_EQ(shown("第一句话。第二句话！「第三句。」第四", "zh"),
            (Strings{"第一句话。", "第二句话！", "「第三句。」", "第四"}));
}

TEST(Sentences, KeepClosingQuotesAndFootnoteMarks) {
  EXPECT_EQ(shown("He said \"Go.\" She went.[^1] They stayed.[2] Done."),
            (Strings{"He said \"Go.\"", "She went.", "They stayed.[2]", "Done."}));
}

TEST(Sentences, MapWrappedLinesToTheirLinesAndBytes) {
  const std::string text = "# Head\n\nFirst one. The second\nruns over\nlines. Last.";
  const auto sentences = split_sentences(text, 10, "en");
  ASSERT_EQ(sentences.size(), 3U);
  EXPECT_EQ(sentences[0].lines, (vault::LineRange{12, 12}));
  EXPECT_EQ(sentences[1].lines, (vault::LineRange{12, 14}));
  EXPECT_EQ(text.substr(sentences[1].begin, sentences[1].end - sentences[1].begin),
            "The second\nruns over\nlines.");
  EXPECT_EQ(sentences[2].lines, (vault::LineRange{14, 14}));
}

TEST(Sentences, MakeEachListItemItsOwn) {
  const auto sentences =
      split_sentences("Things:\n- **one** thing\n  goes on\n- [x] two\n3. three", 1, "en");
  ASSERT_EQ(sentences.size(), 4U);
  EXPECT_EQ(sentences[1].plain, "one thing goes on");
  EXPECT_EQ(sentences[1].kind, Sentence::Kind::kListItem);
  EXPECT_EQ(sentences[1].lines, (vault::LineRange{2, 3}));
  EXPECT_EQ(sentences[2].plain, "two");
  EXPECT_EQ(sentences[3].plain, "three");
}

TEST(Sentences, ReadWrappedNumberAsProse) {
  EXPECT_EQ(shown("It was built in\n1990. Then it fell."),
            (Strings{"It was built in 1990.", "Then it fell."}));
}

TEST(Sentences, MakeEachTableRowItsOwnWithoutHead) {
  const auto sentences =
      split_sentences("| Name | Age |\n|---|---|\n| Ann | 30 |\n| Bo \\| B | 31 |", 5, "en");
  ASSERT_EQ(sentences.size(), 2U);
  EXPECT_EQ(sentences[0].plain, "Ann · 30");
  EXPECT_EQ(sentences[0].lines, (vault::LineRange{7, 7}));
  EXPECT_EQ(sentences[1].plain, "Bo | B · 31");
}

TEST(Sentences, KeepCodeWholeAndHideQueries) {
  const auto sentences =
      split_sentences("Run:\n```sh\nmake. Now\nmake test\n```\n```dataview\nLIST\n```", 1, "en");
  ASSERT_EQ(sentences.size(), 2U);
  EXPECT_EQ(sentences[1].kind, Sentence::Kind::kCode);
  EXPECT_EQ(sentences[1].plain, "make. Now\nmake test");
  EXPECT_EQ(sentences[1].lines, (vault::LineRange{3, 4}));
}

TEST(Sentences, SkipHeadingsRulesCommentsAndCalloutHeads) {
  EXPECT_EQ(shown("Title\n=====\n> [!note] Head\n> Body here.\n---\n%%\nhidden\n%%\nSeen."),
            (Strings{"Body here.", "Seen."}));
}

TEST(Sentences, JoinBlockQuoteLinesWithoutTheirMarks) {
  const std::string text = "> One sentence\n> over two lines.";
  const auto sentences = split_sentences(text, 1, "en");
  ASSERT_EQ(sentences.size(), 1U);
  EXPECT_EQ(sentences[0].plain, "One sentence over two lines.");
  EXPECT_EQ(text.substr(sentences[0].begin, sentences[0].end), "One sentence\n> over two lines.");
}

TEST(Sentences, StayBoundedOnOddBytes) {
  std::string odd(20'000, '.');
  for (std::size_t i = 0; i < odd.size(); i += 3) odd[i] = static_cast<char>(i);
  EXPECT_LE(split_sentences(odd, 1, "en").size(), kMaxSentences);
  EXPECT_TRUE(split_sentences("", 1, "").empty());
}

TEST(PlainText, RemovesMarksAndTargets) {
  EXPECT_EQ(plain_text("**Bold** and *it* `code` ==hi== ~~no~~"), "Bold and it code hi no");
  EXPECT_EQ(
      plain_text(
          "See [[Note|alias]], [[Other#Head]], [site](https://a.b/c_(d)) ![[pic.png]]![x](y)"),
      "See alias, Other > Head, site");
  EXPECT_EQ(plain_text("Fact[^3] %%secret%% <!-- gone -->kept <b>x</b> ^block-1"), "Fact kept x");
  EXPECT_EQ(plain_text("snake_case and 2 * 3 and \\*star\\*"), "snake_case and 2 * 3 and *star*");
}

TEST(PlainText, LeavesOddBracketsAlone) {
  EXPECT_EQ(plain_text("a [b c"), "a [b c");
  EXPECT_EQ(plain_text("cut [[Half"), "cut Half");
  EXPECT_EQ(plain_text("a < b and c > d"), "a < b and c > d");
}

}  // namespace
}  // namespace knap::answer
