#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "knap/base/result.hpp"

namespace knap {

/// 128-bit content hash (XXH3). Identifies content; not a defence against an attacker who builds
/// collisions.
struct Hash128 {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  auto operator<=>(const Hash128&) const = default;

  std::string hex() const;  ///< 32 lower-case hex digits.
  static std::optional<Hash128> from_hex(std::string_view text);
};

Hash128 hash128(std::string_view bytes);

/// The same of bytes that come piece by piece. Threads: one at a time.
class Hasher128 {
 public:
  Hasher128();
  ~Hasher128();
  Hasher128(const Hasher128&) = delete;
  Hasher128& operator=(const Hasher128&) = delete;
  void update(std::string_view bytes);
  /// Of all bytes so far; more may follow.
  Hash128 digest() const;

 private:
  void* state_;  // XXH3_state_t
};

/// The same of a file's bytes, from its beginning; the file's place does not move. Errors: kIo;
/// kResourceExhausted when longer than max_bytes.
Result<Hash128> hash128_file(int file, std::uint64_t max_bytes);
std::uint64_t hash64(std::string_view bytes, std::uint64_t seed = 0);

/// SHA-256 in lower-case hex, for files that must match a published checksum. Errors: kIo naming
/// the path.
Result<std::string> sha256_file(const std::string& path);
std::string sha256(std::string_view bytes);

/// 16 random hex digits: names a request so that it can be found again. Not for secrets.
std::string random_id();

/// RFC 4648 base64 with padding.
std::string base64_encode(std::string_view bytes);
Result<std::string> base64_decode(std::string_view text);

}  // namespace knap

template <>
struct std::hash<knap::Hash128> {
  std::size_t operator()(const knap::Hash128& value) const noexcept { return value.low; }
};
