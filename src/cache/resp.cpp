#include "resp.hpp"

#include <charconv>

#include <fmt/format.h>

namespace knap::cache::resp {
namespace {

constexpr std::string_view kLineEnd = "\r\n";
/// Of a line: a number, a status or an error.
constexpr std::size_t kLineBytesMax = 64U << 10;

Error broken(std::string_view what) {
  return make_error(ErrorCode::kCorruptData, fmt::format("Redis' answer is not RESP: {}", what));
}

/// Reads from front to back. Each function gives false when bytes are missing.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  std::size_t at() const { return at_; }

  Result<bool> value(Value& out, int depth) {
    if (depth > kDepthMax) return broken("nested too deep");
    if (at_ >= bytes_.size()) return false;
    const char type = bytes_[at_];
    std::string_view line;
    KNAP_TRY(const bool whole, take_line(line));
    if (!whole) return false;
    switch (type) {
      case '+':
      case '(': return text(out, Value::Type::kText, line);
      case '-': return text(out, Value::Type::kError, line);
      case ',': return text(out, Value::Type::kDouble, line);
      case '_': out = {}; return true;
      case '#': return boolean(out, line);
      case ':': return integer(out, line);
      case '$': return bulk(out, Value::Type::kText, line);
      case '!': return bulk(out, Value::Type::kError, line);
      case '=': return verbatim(out, line);
      case '*':
      case '~': return list(out, Value::Type::kList, line, 1, depth);
      case '>': return list(out, Value::Type::kPush, line, 1, depth);
      case '%': return list(out, Value::Type::kList, line, 2, depth);
      case '|': {
        KNAP_TRY(const bool attribute, list(out, Value::Type::kList, line, 2, depth));
        if (!attribute) return false;
        out = {};
        return value(out, depth + 1);  // what it belongs to; counted as depth, so it ends
      }
      default: return broken(fmt::format("a type {:#04x}", static_cast<unsigned char>(type)));
    }
  }

 private:
  /// The rest of the line after the type.
  Result<bool> take_line(std::string_view& out) {
    const std::size_t end = bytes_.find(kLineEnd, at_);
    if (end == std::string_view::npos) {
      if (bytes_.size() - at_ > kLineBytesMax) return broken("a line without end");
      return false;
    }
    if (end - at_ > kLineBytesMax) return broken("a line too long");
    out = bytes_.substr(at_ + 1, end - at_ - 1);
    at_ = end + kLineEnd.size();
    return true;
  }

  static bool text(Value& out, Value::Type type, std::string_view line) {
    out = {};
    out.type = type;
    out.text = line;
    return true;
  }

  static Result<std::int64_t> number(std::string_view line) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
    if (error != std::errc() || end != line.data() + line.size()) return broken("a wrong number");
    return value;
  }

  static Result<bool> integer(Value& out, std::string_view line) {
    KNAP_TRY(const std::int64_t value, number(line));
    out = {};
    out.type = Value::Type::kInteger;
    out.integer = value;
    return true;
  }

  static Result<bool> boolean(Value& out, std::string_view line) {
    if (line != "t" && line != "f") return broken("a wrong boolean");
    out = {};
    out.type = Value::Type::kInteger;
    out.integer = line == "t" ? 1 : 0;
    return true;
  }

  Result<bool> bulk(Value& out, Value::Type type, std::string_view line) {
    KNAP_TRY(const std::int64_t length, number(line));
    if (length == -1) {
      out = {};
      return true;
    }
    if (length < 0 || static_cast<std::uint64_t>(length) > kReplyBytesMax)
      return broken("a text too long");
    const auto bytes = static_cast<std::size_t>(length);
    if (bytes_.size() - at_ < bytes + kLineEnd.size()) return false;
    if (bytes_.substr(at_ + bytes, kLineEnd.size()) != kLineEnd)
      return broken("a text without end");
    out = {};
    out.type = type;
    out.text = bytes_.substr(at_, bytes);
    at_ += bytes + kLineEnd.size();
    return true;
  }

  /// "txt:" or "mkd:" stands before the text.
  Result<bool> verbatim(Value& out, std::string_view line) {
    constexpr std::size_t kFormat = 4;
    KNAP_TRY(const bool whole, bulk(out, Value::Type::kText, line));
    if (!whole) return false;
    if (out.text.size() < kFormat || out.text[kFormat - 1] != ':') return broken("a wrong format");
    out.text.erase(0, kFormat);
    return true;
  }

  Result<bool> list(Value& out, Value::Type type, std::string_view line, std::size_t parts,
                    int depth) {
    KNAP_TRY(const std::int64_t length, number(line));
    out = {};
    if (length == -1) return true;
    if (length < 0 || static_cast<std::uint64_t>(length) > kItemsMax)
      return broken("a list too long");
    items_ += static_cast<std::size_t>(length) * parts;
    if (items_ > kItemsMax) return broken("too many items");
    out.type = type;
    for (std::int64_t i = 0; i < length * static_cast<std::int64_t>(parts); ++i) {
      KNAP_TRY(const bool whole, value(out.items.emplace_back(), depth + 1));
      if (!whole) return false;
    }
    return true;
  }

  const std::string_view bytes_;
  std::size_t at_ = 0;
  std::size_t items_ = 0;
};

/// CRC-16/XMODEM, as the cluster specification says.
std::uint16_t crc16(std::string_view bytes) {
  constexpr unsigned kPolynomial = 0x1021;
  unsigned crc = 0;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned>(static_cast<unsigned char>(c)) << 8U;
    for (int bit = 0; bit < 8; ++bit)
      crc = (crc & 0x8000U) != 0 ? (crc << 1U) ^ kPolynomial : crc << 1U;
  }
  return static_cast<std::uint16_t>(crc & 0xFFFFU);
}

}  // namespace

Result<std::optional<Read>> read(std::string_view bytes) {
  Reader reader(bytes);
  Read out;
  KNAP_TRY(const bool whole, reader.value(out.value, 0));
  if (!whole) {
    if (bytes.size() > kReplyBytesMax) return broken("an answer too long");
    return std::optional<Read>();
  }
  out.bytes = reader.at();
  return std::optional(std::move(out));
}

void append_command(const std::vector<std::string_view>& words, std::string& out) {
  fmt::format_to(std::back_inserter(out), "*{}\r\n", words.size());
  for (const std::string_view word : words) {
    fmt::format_to(std::back_inserter(out), "${}\r\n", word.size());
    out.append(word).append(kLineEnd);
  }
}

std::string command(std::initializer_list<std::string_view> words) {
  std::string out;
  append_command(std::vector<std::string_view>(words), out);
  return out;
}

std::uint16_t slot_of(std::string_view key) {
  const std::size_t open = key.find('{');
  if (open != std::string_view::npos) {
    const std::size_t close = key.find('}', open);
    if (close != std::string_view::npos && close > open + 1)
      key = key.substr(open + 1, close - open - 1);
  }
  return crc16(key) % kSlots;
}

}  // namespace knap::cache::resp
