#include "runner/text_stream.hpp"

#include <gtest/gtest.h>

#include "knap/base/text.hpp"

namespace knap::models::runner {
namespace {

std::string run(std::string_view text, std::size_t piece, std::vector<std::string> stop) {
  TextStream stream(std::move(stop));
  std::string shown;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    const std::string part = stream.push(text.substr(at, piece));
    EXPECT_TRUE(text::is_valid_utf8(part));
    shown += part;
  }
  return shown + stream.finish();
}

TEST(TextStream, ShowsWholeCharactersHoweverTokensCutThem) {
  const std::string text = "Grüße, 漢字 😀!";
  for (std::size_t piece = 1; piece <= text.size(); ++piece)
    EXPECT_EQ(run(text, piece, {}), text) << piece;
}

TEST(TextStream, StopsBeforeAStopStringHoweverItIsCut) {
  for (std::size_t piece = 1; piece <= 12; ++piece) {
    EXPECT_EQ(run("one\ntwo\n\nthree", piece, {"\n\n", "zzz"}), "one\ntwo") << piece;
  }
}

TEST(TextStream, ShowsTheBeginningOfAStopStringThatDoesNotCome) {
  EXPECT_EQ(run("ab\n", 1, {"\n\n"}), "ab\n");
}

TEST(TextStream, TakesTheFirstOfSeveralStops) { EXPECT_EQ(run("abcd", 4, {"d", "b"}), "a"); }

TEST(TextStream, MendsBrokenBytes) { EXPECT_EQ(run("a\xC3", 1, {}), "a\uFFFD"); }

}  // namespace
}  // namespace knap::models::runner
