#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace knap {

static_assert(std::endian::native == std::endian::little,
              "numbers are written as they stand in memory: little-endian");

/// Appends numbers and texts to bytes, for formats on disk. Threads: one at a time.
class ByteWriter {
 public:
  /// As it stands in memory, little-endian.
  template <typename T>
  void value(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    out_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  /// LEB128: seven bits a byte, lowest first.
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<char>(value | 0x80));
    out_.push_back(static_cast<char>(value));
  }
  void raw(std::string_view bytes) { out_.append(bytes); }

  std::string_view bytes() const { return out_; }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

/// Reads what a ByteWriter wrote, from bytes that may be damaged: after the first fault every read
/// gives zeros or nothing and ok() is false, so that callers look once, at the end.
/// Lifetime: the bytes must outlive the reader and what take() gave.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}
  bool ok() const { return ok_; }
  bool at_end() const { return bytes_.empty(); }
  std::size_t left() const { return bytes_.size(); }

  template <typename T>
  T value() {
    static_assert(std::is_trivially_copyable_v<T>);
    T out{};
    if (const auto bytes = take(sizeof out); bytes.size() == sizeof out)
      std::memcpy(&out, bytes.data(), sizeof out);
    return out;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      const auto byte = static_cast<std::uint8_t>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    fail();
    return 0;
  }
  /// A view of the next bytes; fewer than asked for are a fault.
  std::string_view take(std::uint64_t count) {
    if (count > bytes_.size()) {
      fail();
      return {};
    }
    const auto out = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return out;
  }
  /// `count` when so many things of at least `least_bytes` each can still follow; else a fault and
  /// 0: a damaged count never makes a large buffer.
  std::uint64_t plausible(std::uint64_t count, std::size_t least_bytes) {
    if (count <= bytes_.size() / least_bytes) return count;
    fail();
    return 0;
  }
  void fail() {
    ok_ = false;
    bytes_ = {};
  }

 private:
  std::string_view bytes_;
  bool ok_ = true;
};

}  // namespace knap
