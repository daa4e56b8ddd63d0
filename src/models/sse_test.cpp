#include "sse.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace knap::models {
namespace {

std::vector<std::string> read_in_pieces(std::string_view stream, std::size_t piece) {
  SseReader reader;
  std::vector<std::string> events;
  for (std::size_t at = 0; at < stream.size(); at += piece) {
    EXPECT_TRUE(reader.feed(stream.substr(at, piece), [&](std::string_view data) {
      events.emplace_back(data);
      return true;
    }));
  }
  return events;
}

TEST(SseReader, GivesTheSameEventsHoweverTheStreamIsCut) {
  const std::string_view stream =
      ": hello\r\ndata: one\r\n\r\nevent: x\ndata:two\ndata: lines\n\nid: 3\n\ndata: "
      "[DONE]\n\ndata: cut";
  const std::vector<std::string> expected{"one", "two\nlines", "[DONE]"};
  for (std::size_t piece = 1; piece <= stream.size(); ++piece)
    EXPECT_EQ(read_in_pieces(stream, piece), expected) << piece;
}

TEST(SseReader, StopsWhenTheCallerHasEnough) {
  SseReader reader;
  const auto status = reader.feed("data: a\n\ndata: b\n\n", [](std::string_view) { return false; });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kCancelled);
}

TEST(SseReader, RefusesAnEndlessLine) {
  SseReader reader;
  const std::string piece(1U << 20, 'x');
  Status status;
  for (int i = 0; i < 8 && status; ++i)
    status = reader.feed(piece, [](std::string_view) { return true; });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kResourceExhausted);
}

}  // namespace
}  // namespace knap::models
