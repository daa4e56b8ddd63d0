#include "words.hpp"

#include <gtest/gtest.h>

namespace knap::answer {
namespace {

TEST(Words, ReadNumbersInOneForm) {
  EXPECT_EQ(number_value("1,000"), "1000");
  EXPECT_EQ(number_value("1.000.000"), "1000000");
  EXPECT_EQ(number_value("3.5"), "3.5");
  EXPECT_EQ(number_value("16th"), "16");
  EXPECT_EQ(number_value("seven"), "7");
  EXPECT_EQ(number_value("sieben"), "7");
  EXPECT_EQ(number_value("word"), "");
}

TEST(Words, KeepPlacesOfWords) {
  WordReader reader("en");
  const std::string text = "Obama's 1,000 dogs didn't bark";
  const auto words = reader.read(text);
  ASSERT_EQ(words.size(), 5U);
  EXPECT_EQ(words[0].folded, "obama");
  EXPECT_EQ(words[1].number, "1000");
  EXPECT_EQ(text.substr(words[2].begin, words[2].end - words[2].begin), "dogs");
  EXPECT_TRUE(is_negation(words[3].folded));
  EXPECT_FALSE(words[3].content);
}

TEST(Words, MarkNamesButNotSentenceOpeners) {
  WordReader reader("en");
  const std::string text = "Dogs chased Ann Lee near NASA. Super Bowl nights were calm.";
  const auto words = reader.read(text);
  const auto names = mark_names(words, text, "en");
  std::string found;
  for (std::size_t i = 0; i < words.size(); ++i) found += names[i] ? words[i].folded + " " : "";
  EXPECT_EQ(found, "ann lee nasa super bowl ");
}

TEST(Words, TakeNoGermanNounForName) {
  WordReader reader("de");
  const std::string text = "Wo steht das Haus der NASA";
  const auto words = reader.read(text);
  const auto names = mark_names(words, text, "de");
  std::size_t count = 0;
  for (const bool name : names) count += name ? 1 : 0;
  EXPECT_EQ(count, 1U);
}

TEST(Words, StopAtTheirLimit) {
  std::string text;
  for (int i = 0; i < 9'000; ++i) text += "word ";
  WordReader reader("en");
  EXPECT_EQ(reader.read(text).size(), WordReader::kMaxWords);
}

TEST(Words, FindFamiliesOfWords) {
  EXPECT_EQ(stem_likeness("found", "found"), 1);
  EXPECT_GT(stem_likeness("founder", "found"), 0);
  EXPECT_EQ(stem_likeness("form", "former"), 0);
  EXPECT_EQ(stem_likeness("cat", "car"), 0);
}

TEST(Words, GuessLanguageByFunctionWords) {
  EXPECT_EQ(guess_language("Who was the king of France?", ""), "en");
  EXPECT_EQ(guess_language("Wer war der König von Frankreich?", ""), "de");
  EXPECT_EQ(guess_language("谁是国王", "zh"), "zh");
}

}  // namespace
}  // namespace knap::answer
