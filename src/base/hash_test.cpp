#include "knap/base/hash.hpp"

#include <cstdio>
#include <memory>

#include <gtest/gtest.h>

namespace knap {
namespace {

TEST(Hash, HexRoundTrip) {
  const Hash128 hash = hash128("knap");
  EXPECT_EQ(Hash128::from_hex(hash.hex()), hash);
  EXPECT_FALSE(Hash128::from_hex("zz"));
}

TEST(Hash, OfAFileIsThatOfItsBytes) {
  const std::unique_ptr<std::FILE, decltype(&std::fclose)> file(std::tmpfile(), std::fclose);
  std::string bytes;
  for (int i = 0; i < 100'000; ++i) bytes += std::to_string(i);
  std::fwrite(bytes.data(), 1, bytes.size(), file.get());
  std::fflush(file.get());
  EXPECT_EQ(hash128_file(::fileno(file.get()), bytes.size()).value(), hash128(bytes));
  const auto over = hash128_file(::fileno(file.get()), bytes.size() - 1);
  ASSERT_FALSE(over.has_value());
  EXPECT_EQ(over.error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(hash128_file(-1, 10).error().code, ErrorCode::kIo);
}

TEST(Hash, Sha256OfTheStandardExample) {
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Base64, RoundTripsAllLengthsAndRefusesRubbish) {
  for (const std::string text : {"", "f", "fo", "foo", "foob", "fooba", "foobar"}) {
    EXPECT_EQ(base64_decode(base64_encode(text)).value(), text);
  }
  EXPECT_EQ(base64_encode("foob"), "Zm9vYg==");
  EXPECT_FALSE(base64_decode("a!b"));
}

TEST(Hash, RandomIdsAreSixteenHexDigitsAndDiffer) {
  const std::string id = random_id();
  EXPECT_EQ(id.size(), 16U);
  EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(random_id(), id);
}

}  // namespace
}  // namespace knap
