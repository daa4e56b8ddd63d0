#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ctranslate2.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static_cast<void>(
      knap::models::read_ctranslate2({reinterpret_cast<const char*>(data), size}).has_value());
  return 0;
}
