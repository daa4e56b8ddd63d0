#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "knap/base/assert.hpp"
#include "knap/http/compress.hpp"

/// Any Accept-Encoding gives an encoding or none, and the same one with white space around it; what
/// a caller says it does not take is never chosen.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace knap::http;
  const std::string_view field(reinterpret_cast<const char*>(data), size);
  const auto chosen = negotiate_encoding(field);
  KNAP_ASSERT(negotiate_encoding(" " + std::string(field) + " ") == chosen);
  if (chosen && field.find('*') == std::string_view::npos) {
    std::string lower(field);
    for (char& c : lower)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    KNAP_ASSERT(lower.find(to_string(*chosen)) != std::string::npos);
  }
  static_cast<void>(is_compressible(field));
  return 0;
}
