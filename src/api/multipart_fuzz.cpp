#include <cstddef>
#include <cstdint>
#include <string_view>

#include "multipart.hpp"

/// The first line is the content type, the rest the body.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line = input.find('\n');
  const std::string_view body =
      line == std::string_view::npos ? std::string_view() : input.substr(line + 1);
  const auto parts = knap::api::parse_form(input.substr(0, line), body);
  if (!parts) return 0;
  for (const auto& part : *parts) {
    const bool inside =
        part.data.empty() || (part.data.data() >= body.data() &&
                              part.data.data() + part.data.size() <= body.data() + body.size());
    if (!inside) __builtin_trap();
  }
  return 0;
}
