#include "multipart.hpp"

#include <gtest/gtest.h>

namespace knap::api {
namespace {

constexpr std::string_view kType = "multipart/form-data; boundary=xyz";

std::string part(const std::string& head, const std::string& data) {
  return "--xyz\r\nContent-Disposition: form-data; " + head + "\r\n\r\n" + data + "\r\n";
}

TEST(Form, HasFieldsAndFiles) {
  const std::string body =
      part("name=\"model\"", "whisper-1") +
      part("name=\"file\"; filename=\"a \\\"b\\\".wav\"\r\nContent-Type: audio/wav",
           std::string("RI\0FF\r\n--xy", 12)) +
      part("name=empty", "") + "--xyz--\r\n";
  const auto parts = parse_form(kType, body);
  ASSERT_TRUE(parts) << parts.error().detail;
  ASSERT_EQ(parts->size(), 3U);
  EXPECT_EQ((*parts)[0].name, "model");
  EXPECT_EQ((*parts)[0].data, "whisper-1");
  EXPECT_EQ((*parts)[1].file_name, "a \"b\".wav");
  EXPECT_EQ((*parts)[1].data, std::string("RI\0FF\r\n--xy", 12));
  EXPECT_EQ((*parts)[2].name, "empty");
  EXPECT_EQ((*parts)[2].data, "");
}

TEST(Form, BoundariesMayBeQuoted) {
  const std::string body = "preamble\r\n" + part("name=a", "1") + "--xyz--";
  const auto parts = parse_form("Multipart/Form-Data; charset=utf-8; boundary=\"xyz\"", body);
  ASSERT_TRUE(parts) << parts.error().detail;
  EXPECT_EQ(parts->front().data, "1");
}

TEST(Form, RefusesWhatIsNone) {
  const std::string whole = part("name=a", "1") + "--xyz--";
  EXPECT_FALSE(parse_form("multipart/form-data", whole));
  EXPECT_FALSE(parse_form("multipart/form-data; boundary=other", whole));
  for (std::size_t length = 0; length + 2 < whole.size(); ++length)
    EXPECT_FALSE(parse_form(kType, whole.substr(0, length))) << length;
  EXPECT_FALSE(parse_form(kType, "--xyz\r\nContent-Disposition: form-data\r\n\r\nx\r\n--xyz--"));
  std::string many;
  for (std::size_t i = 0; i <= kFormPartsMax; ++i) many += part("name=a", "1");
  EXPECT_FALSE(parse_form(kType, many + "--xyz--"));
}

TEST(Form, IsToldByItsType) {
  EXPECT_TRUE(is_form("multipart/form-data; boundary=x"));
  EXPECT_FALSE(is_form("multipart/mixed; boundary=x"));
  EXPECT_FALSE(is_form("application/json"));
}

}  // namespace
}  // namespace knap::api
