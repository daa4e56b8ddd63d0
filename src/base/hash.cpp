#include "knap/base/hash.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <new>
#include <random>
#include <vector>

#include <unistd.h>

#include <openssl/evp.h>
#include <xxhash.h>

#include "knap/base/file.hpp"

namespace knap {
namespace {

constexpr std::size_t kHashChunkBytes = 256U << 10;
constexpr char kHexDigits[] = "0123456789abcdef";
constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void append_hex(std::string& out, std::uint64_t value) {
  for (int shift = 60; shift >= 0; shift -= 4) out += kHexDigits[(value >> shift) & 15];
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::array<int, 256> make_base64_table() {
  std::array<int, 256> table{};
  table.fill(-1);
  for (std::size_t i = 0; i < kBase64.size(); ++i)
    table[static_cast<unsigned char>(kBase64[i])] = static_cast<int>(i);
  return table;
}

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr);
  }
  void update(const void* data, std::size_t size) { EVP_DigestUpdate(context_.get(), data, size); }
  std::string hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int length = 0;
    EVP_DigestFinal_ex(context_.get(), digest.data(), &length);
    std::string out;
    for (unsigned int i = 0; i < length; ++i) {
      out += kHexDigits[digest[i] >> 4];
      out += kHexDigits[digest[i] & 15];
    }
    return out;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace

std::string Hash128::hex() const {
  std::string out;
  out.reserve(32);
  append_hex(out, high);
  append_hex(out, low);
  return out;
}

std::optional<Hash128> Hash128::from_hex(std::string_view text) {
  if (text.size() != 32) return std::nullopt;
  Hash128 out;
  for (std::size_t i = 0; i < 32; ++i) {
    const int value = hex_value(text[i]);
    if (value < 0) return std::nullopt;
    auto& half = i < 16 ? out.high : out.low;
    half = (half << 4) | static_cast<std::uint64_t>(value);
  }
  return out;
}

Hash128 hash128(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return Hash128{hash.high64, hash.low64};
}

Hasher128::Hasher128() : state_(XXH3_createState()) {
  if (state_ == nullptr) throw std::bad_alloc();
  XXH3_128bits_reset(static_cast<XXH3_state_t*>(state_));
}

Hasher128::~Hasher128() { XXH3_freeState(static_cast<XXH3_state_t*>(state_)); }

void Hasher128::update(std::string_view bytes) {
  XXH3_128bits_update(static_cast<XXH3_state_t*>(state_), bytes.data(), bytes.size());
}

Hash128 Hasher128::digest() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(static_cast<const XXH3_state_t*>(state_));
  return Hash128{hash.high64, hash.low64};
}

Result<Hash128> hash128_file(int file, std::uint64_t max_bytes) {
  Hasher128 hasher;
  std::vector<char> chunk(kHashChunkBytes);
  std::uint64_t done = 0;
  for (;;) {
    const ssize_t got = ::pread(file, chunk.data(), chunk.size(), static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return make_error(ErrorCode::kIo, "cannot read a file to hash it");
    if (got == 0) break;
    done += static_cast<std::uint64_t>(got);
    if (done > max_bytes) {
      return make_error(ErrorCode::kResourceExhausted,
                        "larger than " + std::to_string(max_bytes) + " bytes");
    }
    hasher.update({chunk.data(), static_cast<std::size_t>(got)});
  }
  return hasher.digest();
}

std::uint64_t hash64(std::string_view bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

Result<std::string> sha256_file(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             std::fclose);
  if (!file) return errno_error(errno, "open", path);
  Sha256 digest;
  std::string buffer(1 << 20, '\0');
  while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), file.get()))
    digest.update(buffer.data(), got);
  if (std::ferror(file.get())) return errno_error(errno, "read", path);
  return digest.hex();
}

std::string sha256(std::string_view bytes) {
  Sha256 digest;
  digest.update(bytes.data(), bytes.size());
  return digest.hex();
}

std::string random_id() {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  std::string id;
  append_hex(id, generator());
  return id;
}

std::string base64_encode(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t have = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t block = 0;
    for (std::size_t j = 0; j < 3; ++j)
      block = block << 8 | (j < have ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    for (std::size_t j = 0; j < 4; ++j)
      out += j <= have ? kBase64[(block >> (18 - 6 * j)) & 63] : '=';
  }
  return out;
}

Result<std::string> base64_decode(std::string_view text) {
  static const auto kTable = make_base64_table();
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  std::string out;
  out.reserve(text.size() * 3 / 4);
  std::uint32_t block = 0;
  int bits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int value = kTable[static_cast<unsigned char>(text[i])];
    if (value < 0) {
      return make_error(ErrorCode::kInvalidArgument,
                        "not base64: unexpected character at offset " + std::to_string(i));
    }
    block = block << 6 | static_cast<std::uint32_t>(value);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>(block >> bits & 255);
    }
  }
  if (text.size() % 4 == 1)
    return make_error(ErrorCode::kInvalidArgument, "not base64: the length is wrong");
  return out;
}

}  // namespace knap
