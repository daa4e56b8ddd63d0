#include "knap/http/compress.hpp"

#include <zlib.h>
#include <zstd.h>

#include <brotli/decode.h>
#include <gtest/gtest.h>

namespace knap::http {
namespace {

TEST(Negotiate, TakesTheBestThatTheCallerTakes) {
  EXPECT_EQ(negotiate_encoding("gzip, deflate, br, zstd"), Encoding::kZstd);
  EXPECT_EQ(negotiate_encoding("gzip, br"), Encoding::kBrotli);
  EXPECT_EQ(negotiate_encoding("GZIP"), Encoding::kGzip);
  EXPECT_EQ(negotiate_encoding("zstd;q=0.1, gzip;q=0.9"), Encoding::kGzip);
  EXPECT_EQ(negotiate_encoding("*"), Encoding::kZstd);
  EXPECT_EQ(negotiate_encoding("zstd;q=0, *"), Encoding::kBrotli);
}

TEST(Negotiate, SendsPlainlyWhereNothingFits) {
  for (const char* accept :
       {"", "identity", "deflate", "gzip;q=0", "gzip;q=nonsense", ",;,", "*;q=0"})
    EXPECT_EQ(negotiate_encoding(accept), std::nullopt) << accept;
  EXPECT_EQ(negotiate_encoding(std::string(10'000, ',') + "gzip"), std::nullopt);
}

// Found by encoding_fuzz: the blanks counted towards the longest field.
TEST(Negotiate, BlanksAroundALongFieldChangeNothing) {
  const std::string longest = "gzip" + std::string(508, ',');
  EXPECT_EQ(negotiate_encoding(longest), Encoding::kGzip);
  EXPECT_EQ(negotiate_encoding(" " + longest + " "), Encoding::kGzip);
  EXPECT_EQ(negotiate_encoding(longest + ","), std::nullopt);
}

TEST(Compressible, IsText) {
  EXPECT_TRUE(is_compressible("application/problem+json"));
  EXPECT_TRUE(is_compressible("text/plain; version=0.0.4; charset=utf-8"));
  EXPECT_TRUE(is_compressible("image/svg+xml"));
  EXPECT_FALSE(is_compressible("image/png"));
  EXPECT_FALSE(is_compressible(""));
}

TEST(Compress, GivesBackTheSameBytes) {
  std::string body;
  for (int i = 0; i < 5'000; ++i) body += "note " + std::to_string(i * i) + "\n";
  std::string back(body.size(), '\0');

  const auto zstd = compress(body, Encoding::kZstd);
  ASSERT_TRUE(zstd);
  EXPECT_LT(zstd->size(), body.size() / 2);
  EXPECT_EQ(::ZSTD_decompress(back.data(), back.size(), zstd->data(), zstd->size()), body.size());
  EXPECT_EQ(back, body);

  const auto brotli = compress(body, Encoding::kBrotli);
  ASSERT_TRUE(brotli);
  std::size_t size = back.size();
  back.assign(back.size(), '\0');
  EXPECT_EQ(::BrotliDecoderDecompress(brotli->size(),
                                      reinterpret_cast<const std::uint8_t*>(brotli->data()), &size,
                                      reinterpret_cast<std::uint8_t*>(back.data())),
            BROTLI_DECODER_RESULT_SUCCESS);
  EXPECT_EQ(back, body);

  auto gzip = compress(body, Encoding::kGzip);
  ASSERT_TRUE(gzip);
  back.assign(back.size(), '\0');
  z_stream stream{};
  ASSERT_EQ(::inflateInit2(&stream, 15 + 16), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(gzip->data());
  stream.avail_in = static_cast<uInt>(gzip->size());
  stream.next_out = reinterpret_cast<Bytef*>(back.data());
  stream.avail_out = static_cast<uInt>(back.size());
  EXPECT_EQ(::inflate(&stream, Z_FINISH), Z_STREAM_END);
  ::inflateEnd(&stream);
  EXPECT_EQ(back, body);

  for (const Encoding each : {Encoding::kZstd, Encoding::kBrotli, Encoding::kGzip})
    EXPECT_TRUE(compress("", each));
}

}  // namespace
}  // namespace knap::http
