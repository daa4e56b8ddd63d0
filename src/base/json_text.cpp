#include "knap/base/json_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>

#include <boost/json.hpp>

namespace knap {
namespace {

namespace json = boost::json;

void append_number(std::string& out, double number) {
  if (!std::isfinite(number)) {
    out += "null";
    return;
  }
  std::array<char, 32> text{};
  // A float written with a double's digits reads 0.6299999952316284.
  const auto narrow = static_cast<float>(number);
  const auto end = static_cast<double>(narrow) == number
                       ? std::to_chars(text.data(), text.data() + text.size(), narrow)
                       : std::to_chars(text.data(), text.data() + text.size(), number);
  out.append(text.data(), end.ptr);
}

/// Most texts need no escapes and are copied as they are.
void append_text(std::string& out, std::string_view text) {
  const bool plain = std::ranges::none_of(text, [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\' || c == '\x7f';
  });
  if (!plain) {
    out += json::serialize(json::string_view(text.data(), text.size()));
    return;
  }
  out += '"';
  out += text;
  out += '"';
}

void append_integer(std::string& out, auto number) {
  std::array<char, 24> text{};
  out.append(text.data(), std::to_chars(text.data(), text.data() + text.size(), number).ptr);
}

void append(std::string& out, const json::value& value);

void append(std::string& out, const json::object& object) {
  out += '{';
  for (const auto& [key, value] : object) {
    if (out.back() != '{') out += ',';
    append_text(out, std::string_view(key.data(), key.size()));
    out += ':';
    append(out, value);
  }
  out += '}';
}

void append(std::string& out, const json::array& array) {
  out += '[';
  bool first = true;
  for (const json::value& value : array) {
    if (!first) out += ',';
    first = false;
    append(out, value);
  }
  out += ']';
}

void append(std::string& out, const json::value& value) {
  switch (value.kind()) {
    case json::kind::object: append(out, value.get_object()); return;
    case json::kind::array: append(out, value.get_array()); return;
    case json::kind::string:
      append_text(out, std::string_view(value.get_string().data(), value.get_string().size()));
      return;
    case json::kind::int64: append_integer(out, value.get_int64()); return;
    case json::kind::uint64: append_integer(out, value.get_uint64()); return;
    case json::kind::double_: append_number(out, value.get_double()); return;
    default: out += json::serialize(value);
  }
}

}  // namespace

std::string json_text(const json::value& value) {
  std::string out;
  append(out, value);
  return out;
}

std::string json_text(const json::object& object) {
  std::string out;
  append(out, object);
  return out;
}

}  // namespace knap
