#include <cstdint>

#include "gguf_header.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static_cast<void>(
      knap::models::parse_gguf_header({reinterpret_cast<const char*>(data), size}).has_value());
  return 0;
}
