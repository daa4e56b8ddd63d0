#include "knap/http/compress.hpp"

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "knap/http/message.hpp"

namespace knap::http {
namespace {

constexpr int kZstdLevel = 3, kBrotliQuality = 4, kGzipLevel = 5;
/// Window of 2^15 bytes, with gzip's header and checksum.
constexpr int kGzipWindow = 15 + 16;
constexpr int kGzipMemory = 8;
/// A field longer than this is no browser's.
constexpr std::size_t kFieldBytesMax = 512;

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// The weight after ";q=": 1 without, 0 for what cannot be read.
double weight_of(std::string_view parameters) {
  const auto at = parameters.find("q=");
  if (at == std::string_view::npos) return 1;
  const std::string_view text = trim(parameters.substr(at + 2));
  double weight = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), weight);
  return error == std::errc{} && end == text.data() + text.size() ? weight : 0;
}

Error no_memory() { return make_error(ErrorCode::kInternal, "no memory to compress a body"); }

Result<std::string> gzip(std::string_view body) {
  z_stream stream{};
  if (::deflateInit2(&stream, kGzipLevel, Z_DEFLATED, kGzipWindow, kGzipMemory,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
    return no_memory();
  }
  std::string out(::deflateBound(&stream, body.size()), '\0');
  // zlib takes the input without const and does not write to it.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  stream.avail_in = static_cast<uInt>(body.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int done = ::deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  if (done != Z_STREAM_END) return no_memory();
  return out;
}

}  // namespace

std::string_view to_string(Encoding encoding) {
  switch (encoding) {
    case Encoding::kZstd: return "zstd";
    case Encoding::kBrotli: return "br";
    case Encoding::kGzip: return "gzip";
  }
  return "gzip";
}

std::optional<Encoding> negotiate_encoding(std::string_view accept) {
  constexpr std::array kAll{Encoding::kZstd, Encoding::kBrotli, Encoding::kGzip};
  accept = trim(accept);
  if (accept.size() > kFieldBytesMax) return std::nullopt;
  std::array<double, kAll.size()> weights{};
  std::array<bool, kAll.size()> named{};
  double rest = 0;
  while (!accept.empty()) {
    const auto end = std::min(accept.find(','), accept.size());
    const std::string_view item = trim(accept.substr(0, end));
    accept.remove_prefix(std::min(end + 1, accept.size()));
    const auto name_end = std::min(item.find(';'), item.size());
    const std::string_view name = trim(item.substr(0, name_end));
    const double weight = weight_of(item.substr(name_end));
    if (name == "*") rest = weight;
    for (std::size_t i = 0; i < kAll.size(); ++i) {
      if (!equals_ignoring_case(name, to_string(kAll[i]))) continue;
      weights[i] = weight;
      named[i] = true;
    }
  }
  std::optional<Encoding> best;
  double most = 0;
  for (std::size_t i = 0; i < kAll.size(); ++i) {
    const double weight = named[i] ? weights[i] : rest;
    if (weight <= most) continue;
    most = weight;
    best = kAll[i];
  }
  return best;
}

bool is_compressible(std::string_view content_type) {
  const std::string_view type = trim(content_type.substr(0, content_type.find(';')));
  return type.starts_with("text/") || type.ends_with("json") || type.ends_with("xml") ||
         type.ends_with("javascript") || type == "application/yaml";
}

Result<std::string> compress(std::string_view body, Encoding encoding) {
  switch (encoding) {
    case Encoding::kGzip: return gzip(body);
    case Encoding::kZstd: {
      std::string out(::ZSTD_compressBound(body.size()), '\0');
      const std::size_t size =
          ::ZSTD_compress(out.data(), out.size(), body.data(), body.size(), kZstdLevel);
      if (::ZSTD_isError(size) != 0) return no_memory();
      out.resize(size);
      return out;
    }
    case Encoding::kBrotli: {
      std::size_t size = ::BrotliEncoderMaxCompressedSize(body.size());
      std::string out(size, '\0');
      const auto done =
          ::BrotliEncoderCompress(kBrotliQuality, BROTLI_DEFAULT_WINDOW, BROTLI_MODE_TEXT,
                                  body.size(), reinterpret_cast<const std::uint8_t*>(body.data()),
                                  &size, reinterpret_cast<std::uint8_t*>(out.data()));
      if (done != BROTLI_TRUE) return no_memory();
      out.resize(size);
      return out;
    }
  }
  return no_memory();
}

}  // namespace knap::http
