#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "knap/base/result.hpp"

/// Redis' protocol, version 3 (and what version 2 has of it). All functions are pure.
namespace knap::cache::resp {

/// Of one reply.
inline constexpr std::size_t kReplyBytesMax = 64U << 20;
inline constexpr std::size_t kItemsMax = 1U << 20;
inline constexpr int kDepthMax = 8;

struct Value {
  enum class Type : std::uint8_t {
    kNull,
    kText,     ///< Simple, bulk or verbatim string; big number.
    kError,    ///< `text` as Redis says it: "MOVED 3999 127.0.0.1:6381".
    kInteger,  ///< Or a boolean.
    kDouble,   ///< As written, in `text`.
    kList,     ///< Array or set; a map as key, value, key, value.
    kPush,     ///< A list that nobody asked for.
  } type = Type::kNull;
  std::string text;
  std::int64_t integer = 0;
  std::vector<Value> items;

  bool is_error(std::string_view code) const {
    return type == Type::kError && text.starts_with(code);
  }
};

/// What a reader has of the bytes so far.
struct Read {
  Value value;
  std::size_t bytes = 0;  ///< That it took.
};
/// The value at the beginning; nothing: more bytes are needed. Attributes are left out.
/// Errors: kCorruptData (not RESP, or over a limit).
Result<std::optional<Read>> read(std::string_view bytes);

/// A command as it is sent.
void append_command(const std::vector<std::string_view>& words, std::string& out);
std::string command(std::initializer_list<std::string_view> words);

/// The slot of a key in a cluster: CRC16 of it, or of its part between { and }, modulo 16,384.
inline constexpr std::uint16_t kSlots = 16'384;
std::uint16_t slot_of(std::string_view key);

}  // namespace knap::cache::resp
