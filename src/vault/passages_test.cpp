#include "passages.hpp"

#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test_notes.hpp"
#include "tokens.hpp"

namespace knap::vault {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string words(int count, const std::string& word = "word") {
  std::string text;
  for (int i = 0; i < count; ++i) text += (i > 0 ? " " : "") + word;
  return text;
}

/// Every passage is the file's own lines, in order, and within the model's size.
void check_passages(const Note& note, std::string_view bytes, const PassageOptions& options = {}) {
  std::vector<std::string> lines;
  std::istringstream stream{std::string(bytes)};
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  std::uint32_t last = 0;
  for (const Passage& passage : note.passages) {
    ASSERT_GE(passage.lines.first, last);
    ASSERT_LE(passage.lines.first, passage.lines.last);
    ASSERT_LE(passage.lines.last, lines.size());
    last = passage.lines.first;
    std::string joined;
    for (std::uint32_t i = passage.lines.first; i <= passage.lines.last; ++i)
      joined += (i > passage.lines.first ? "\n" : "") + lines[i - 1];
    EXPECT_THAT(joined, HasSubstr(passage.text));
    EXPECT_LE(estimate_tokens(passage.plain), options.max_tokens + options.max_tokens / 4);
    EXPECT_FALSE(passage.plain.empty());
  }
}

TEST(Passages, SmallNeighboursAreJoinedUpToTheTarget) {
  std::string text = "# H\n\n";
  for (int i = 0; i < 12; ++i) text += words(50) + ".\n\n";
  const Note note = parsed(text);
  check_passages(note, text);
  ASSERT_GE(note.passages.size(), 3U);
  for (const Passage& passage : note.passages) EXPECT_GE(estimate_tokens(passage.plain), 100U);
}

TEST(Passages, TablesCodeAndListsAreNotTornBelowTheMaximum) {
  std::string text = words(150) + ".\n\n| a | b |\n|---|---|\n";
  for (int i = 0; i < 20; ++i) text += "| x y | z |\n";
  text += "\n```\n" + words(100, "code\n") + "\n```\n";
  const Note note = parsed(text);
  check_passages(note, text);
  for (const Passage& passage : note.passages) {
    const auto has = [&](std::string_view what) {
      return passage.text.find(what) != std::string::npos;
    };
    EXPECT_EQ(has("| a | b |"), passage.text.find("| x y | z |") != std::string::npos);
  }
}

TEST(Passages, LongTableIsCutByRowsAndRepeatsItsHead) {
  std::string text = "| Name | Value |\n|---|---|\n";
  for (int i = 0; i < 200; ++i) text += "| row" + std::to_string(i) + " | some words here |\n";
  const Note note = parsed(text);
  check_passages(note, text);
  ASSERT_GT(note.passages.size(), 3U);
  for (const Passage& passage : note.passages) {
    EXPECT_EQ(passage.kind, Passage::Kind::kTable);
    EXPECT_THAT(passage.plain, StartsWith("Name | Value\n"));
  }
  EXPECT_THAT(note.passages[1].text, StartsWith("| row"));
}

TEST(Passages, LongListIsCutAtItsItems) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "- item " + words(20) + "\n  continued " + words(5) + "\n";
  const Note note = parsed(text);
  check_passages(note, text);
  ASSERT_GT(note.passages.size(), 3U);
  for (const Passage& passage : note.passages) EXPECT_THAT(passage.text, StartsWith("- item"));
}

TEST(Passages, LongLineIsCutBetweenSentencesAndKeepsItsLine) {
  std::string line;
  for (int i = 0; i < 100; ++i)
    line += "Sentence number " + std::to_string(i) + " has **some** [[Link " + std::to_string(i) +
            "|words]] in it. ";
  const std::string text = "# H\n" + line + "\n";
  const Note note = parsed(text);
  check_passages(note, text);
  ASSERT_GT(note.passages.size(), 3U);
  EXPECT_EQ(note.passages[0].lines, (LineRange{1, 2}));
  std::string all;
  for (const Passage& passage : note.passages) {
    EXPECT_EQ(passage.lines.last, 2U);
    EXPECT_THAT(passage.plain, StartsWith("Sentence number"));
    EXPECT_EQ(passage.plain.back(), '.');
    all += passage.plain + " ";
  }
  for (int i = 0; i < 100; ++i)
    EXPECT_THAT(all, HasSubstr("number " + std::to_string(i) + " has some words"));
}

TEST(Passages, TextWithoutSpacesIsCutAtCodePoints) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += "語";
  const Note note = parsed(text);
  check_passages(note, text);
  std::size_t bytes = 0;
  for (const Passage& passage : note.passages) bytes += passage.plain.size();
  EXPECT_EQ(bytes, text.size());
  const Note code = parsed("```\n" + std::string(100'000, 'x') + "\n```\n");
  EXPECT_GT(code.passages.size(), 10U);
}

TEST(Passages, LeadInStaysWithWhatItIntroduces) {
  const std::string text = words(160) + ":\n\n- a " + words(40) + "\n- b\n";
  EXPECT_EQ(parsed(text).passages.size(), 1U);
}

TEST(Passages, HostileInputTakesLinearTime) {
  for (const std::string_view unit :
       {"[",    "](",   "![[",    "`",        "``a",      "*a",     "**a_", "<a",
        "$a",   "%%a",  "<!--",   "> ",       "- ",       "| ",     "\\",   "[^",
        "#a ",  "^[",   "]((",    "](a \"",   "&a",       "[[a",    "a\n",  "```\n",
        "%%\n", "$$\n", "<!--\n", "|\n|-|\n", "[a]: b\n", "    \n", "://",  "~~a=="}) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    const auto begin = std::chrono::steady_clock::now();
    (void)parsed(text);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5)) << unit;
  }
}

TEST(Passages, CommonMarkExamplesAreReadAndStayVerbatim) {
  std::ifstream file(shared_data("formats/md-commonmark/spec.txt"));
  if (!file) GTEST_SKIP() << "no ../shared with the CommonMark specification";
  std::string whole;
  std::string example;
  int examples = 0;
  int part = 0;
  for (std::string line; std::getline(file, line);) {
    whole += line + "\n";
    if (part == 0 && line.ends_with(" example") && line.starts_with("````")) {
      part = 1;
      example.clear();
    } else if (part == 1 && line == ".") {
      part = 2;
      ++examples;
      for (std::size_t at = 0; (at = example.find("→", at)) != std::string::npos;)
        example.replace(at, 3, "\t");
      check_passages(parsed(example), example);
    } else if (part == 1) {
      example += line + "\n";
    } else if (part == 2 && line.starts_with("````")) {
      part = 0;
    }
  }
  EXPECT_GT(examples, 600);
  check_passages(parsed(whole), whole);
}

}  // namespace
}  // namespace knap::vault
