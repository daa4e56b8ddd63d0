#include <cstdint>
#include <cstdlib>

#include "runner/safetensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto tensors = knap::models::runner::parse_safetensors_header(bytes, size);
  if (!tensors) return 0;
  for (const auto& [name, entry] : *tensors) {
    if (entry.begin > size || entry.bytes > size - entry.begin) std::abort();
  }
  return 0;
}
