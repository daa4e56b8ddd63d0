#include "resp.hpp"

#include <gtest/gtest.h>

namespace knap::cache::resp {
namespace {

using Type = Value::Type;

Value whole(std::string_view bytes) {
  const auto found = read(bytes);
  EXPECT_TRUE(found && *found) << bytes;
  if (!found || !*found) return {};
  EXPECT_EQ((*found)->bytes, bytes.size());
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    const auto part = read(bytes.substr(0, cut));
    EXPECT_TRUE(part.has_value() && !*part) << cut << " of " << bytes;
  }
  return (*found)->value;
}

TEST(Resp, ReadsEveryType) {
  EXPECT_EQ(whole("+OK\r\n").text, "OK");
  EXPECT_EQ(whole(std::string_view("$5\r\na\r\nb\0\r\n", 11)).type, Type::kText);
  EXPECT_EQ(whole("$0\r\n\r\n").text, "");
  EXPECT_EQ(whole("$-1\r\n").type, Type::kNull);
  EXPECT_EQ(whole("_\r\n").type, Type::kNull);
  EXPECT_EQ(whole("*-1\r\n").type, Type::kNull);
  EXPECT_EQ(whole(":-12\r\n").integer, -12);
  EXPECT_EQ(whole("#t\r\n").integer, 1);
  EXPECT_EQ(whole(",3.25\r\n").text, "3.25");
  EXPECT_EQ(whole("(123456789012345678901234567890\r\n").type, Type::kText);
  EXPECT_TRUE(whole("-MOVED 1 a:2\r\n").is_error("MOVED "));
  EXPECT_TRUE(whole("!3\r\nERR\r\n").is_error("ERR"));
  EXPECT_EQ(whole("=7\r\ntxt:abc\r\n").text, "abc");
  EXPECT_EQ(whole("%1\r\n+a\r\n:1\r\n").items.size(), 2U);
  EXPECT_EQ(whole("~2\r\n+a\r\n+b\r\n").type, Type::kList);
  const Value push = whole(">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n");
  EXPECT_EQ(push.type, Type::kPush);
  EXPECT_EQ(push.items[1].items[0].text, "k");
  EXPECT_EQ(whole("|1\r\n+ttl\r\n:5\r\n+value\r\n").text, "value");
}

TEST(Resp, RefusesWhatIsNoneOrTooMuch) {
  std::string deep;
  for (int i = 0; i < kDepthMax + 2; ++i) deep += "*1\r\n";
  for (const std::string wrong :
       {"?x\r\n", "$x\r\n", "$-2\r\n", "*99999999\r\n", "$99999999999\r\n", "#x\r\n", ":1x\r\n",
        "$1\r\nabc", "=3\r\nabc\r\n", "*?\r\n"}) {
    EXPECT_FALSE(read(wrong).has_value()) << wrong;
  }
  EXPECT_FALSE(read(deep).has_value());
  EXPECT_FALSE(read(std::string(100'000, '+')).has_value());
  std::string many;
  for (int i = 0; i < 4; ++i) many += "*400000\r\n";
  EXPECT_FALSE(read(many).has_value());
}

TEST(Resp, WritesCommands) {
  EXPECT_EQ(command({"GET", "a b"}), "*2\r\n$3\r\nGET\r\n$3\r\na b\r\n");
}

TEST(Resp, SlotsAreThoseOfTheSpecification) {
  EXPECT_EQ(slot_of("123456789"), 0x31C3);
  EXPECT_EQ(slot_of("{user1000}.following"), slot_of("user1000"));
  EXPECT_EQ(slot_of("foo{}{bar}"), 8363);
  EXPECT_NE(slot_of("foo{}{bar}"), slot_of("bar"));
}

}  // namespace
}  // namespace knap::cache::resp
