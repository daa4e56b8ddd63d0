#include "runner/tool_call_reader.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace knap::models::runner {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* kCall =
    "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>";

/// The answer read in pieces of `size`.
ToolCallReader::Read read(std::string_view answer, std::size_t size) {
  ToolCallReader reader({"weather", "time"});
  ToolCallReader::Read all;
  const auto add = [&](const ToolCallReader::Read& part) {
    all.text += part.text;
    all.calls.insert(all.calls.end(), part.calls.begin(), part.calls.end());
  };
  for (std::size_t at = 0; at < answer.size(); at += size)
    add(reader.push(answer.substr(at, size)));
  add(reader.finish());
  return all;
}

class ToolCallReaderTest : public testing::TestWithParam<std::size_t> {};

TEST_P(ToolCallReaderTest, ReadsCallsInAllTheirForms) {
  const std::string bare = R"({"name":"weather","arguments":{"city":"Oslo"}})";
  const std::string unclosed = std::string(kCall).substr(0, std::string(kCall).rfind('\n'));
  for (const std::string& answer :
       {std::string(kCall), "\n " + std::string(kCall) + "\n", bare, "```json\n" + bare + "\n```",
        unclosed, std::string(R"({"name":"weather","parameters":{"city":"Oslo"}})")}) {
    const auto got = read(answer, GetParam());
    ASSERT_THAT(got.calls, SizeIs(1)) << answer;
    EXPECT_EQ(got.calls[0].name, "weather");
    EXPECT_EQ(got.calls[0].arguments, R"({"city":"Oslo"})");
    EXPECT_EQ(got.text, "") << answer;
  }
  const auto two = read("I look.\n" + std::string(kCall) + "\n" + kCall, GetParam());
  EXPECT_THAT(two.calls, SizeIs(2));
  EXPECT_EQ(two.text, "I look.");
}

TEST_P(ToolCallReaderTest, LeavesAllElseAsText) {
  for (const std::string& answer :
       {std::string("It rains."), std::string(R"({"name":"other","arguments":{}})"),
        std::string(R"({"city":"Oslo"})"), std::string("{not json"),
        std::string("Use <tool_response> here <"), std::string("```\ncode\n```"),
        std::string(R"(See {"name":"weather","arguments":{}})"),
        std::string("<tool_call>\n{\"name\": \"weather\"")}) {
    const auto got = read(answer, GetParam());
    EXPECT_THAT(got.calls, IsEmpty()) << answer;
    EXPECT_EQ(got.text, answer);
  }
}

INSTANTIATE_TEST_SUITE_P(InPieces, ToolCallReaderTest, testing::Values(1, 3, 7, 1000));

TEST(ToolCallReader, TellsTextAtOnce) {
  ToolCallReader reader({"weather"});
  EXPECT_EQ(reader.push("It rains").text, "It rains");
  EXPECT_EQ(reader.push(" a <to").text, " a");
  EXPECT_EQ(reader.push("ken>").text, " <token>");
}

}  // namespace
}  // namespace knap::models::runner
