#include "knap/base/bytes.hpp"

#include <gtest/gtest.h>

namespace knap {
namespace {

TEST(Bytes, ReadsBackWhatWasWritten) {
  ByteWriter out;
  const std::uint64_t numbers[] = {0, 1, 127, 128, 300, std::uint64_t{1} << 35, ~std::uint64_t{0}};
  for (const std::uint64_t number : numbers) out.varint(number);
  out.value(std::uint16_t{0xABCD});
  out.value(-1.5);
  out.raw("text");
  ByteReader in(out.bytes());
  for (const std::uint64_t number : numbers) EXPECT_EQ(in.varint(), number);
  EXPECT_EQ(in.value<std::uint16_t>(), 0xABCD);
  EXPECT_EQ(in.value<double>(), -1.5);
  EXPECT_EQ(in.take(4), "text");
  EXPECT_TRUE(in.ok() && in.at_end());
}

TEST(Bytes, WritesLittleEndian) {
  ByteWriter out;
  out.value(std::uint32_t{0x01020304});
  out.varint(300);
  EXPECT_EQ(out.take(), std::string("\x04\x03\x02\x01\xAC\x02"));
}

TEST(Bytes, AFaultIsRememberedAndGivesNothing) {
  ByteReader cut(std::string_view("\x01\x02\x03", 3));
  EXPECT_EQ(cut.value<std::uint32_t>(), 0U);
  EXPECT_FALSE(cut.ok());
  EXPECT_EQ(cut.value<std::uint8_t>(), 0U);
  ByteReader endless("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF");
  EXPECT_EQ(endless.varint(), 0U);
  EXPECT_FALSE(endless.ok());
  ByteReader open("\x80");
  EXPECT_EQ(open.varint(), 0U);
  EXPECT_FALSE(open.ok());
}

TEST(Bytes, AnImplausibleCountIsAFault) {
  ByteReader in("12345678");
  EXPECT_EQ(in.plausible(2, 4), 2U);
  EXPECT_EQ(in.plausible(3, 4), 0U);
  EXPECT_FALSE(in.ok());
}

}  // namespace
}  // namespace knap
