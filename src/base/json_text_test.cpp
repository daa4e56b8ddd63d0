#include "knap/base/json_text.hpp"

#include <limits>

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace knap {
namespace {

namespace json = boost::json;

TEST(JsonText, WritesNumbersAsPeopleDo) {
  EXPECT_EQ(json_text(json::value(1.0)), "1");
  EXPECT_EQ(json_text(json::value(0.63F)), "0.63");
  EXPECT_EQ(json_text(json::value(5.342373)), "5.342373");
  EXPECT_EQ(json_text(json::value(-7)), "-7");
  EXPECT_EQ(json_text(json::value(std::numeric_limits<double>::quiet_NaN())), "null");
}

TEST(JsonText, ReadsBackAsTheSameValue) {
  const json::value value = json::parse(
      R"({"a":[1,2.5,-3e-7,1e300,[],{}],"b":{"c":null,"d":true,"e":"x\"\n\u0001ü"},"":[[1],[2]]})");
  EXPECT_EQ(json::parse(json_text(value)), value);
  EXPECT_EQ(json_text(json::object{{"a", json::array{}}, {"b", json::object{}}}),
            R"({"a":[],"b":{}})");
}

TEST(JsonText, WritesTextAndIntegersAsTheLibraryDoes) {
  for (const std::string text : {"", "plain", "quote \" and \\", "line\n", "\x1f", "\x7f", "grün"})
    EXPECT_EQ(json_text(json::value(json::string_view(text))), json::serialize(json::string(text)));
  EXPECT_EQ(json_text(json::value(std::numeric_limits<std::int64_t>::min())),
            "-9223372036854775808");
  EXPECT_EQ(json_text(json::value(std::numeric_limits<std::uint64_t>::max())),
            "18446744073709551615");
}

}  // namespace
}  // namespace knap
