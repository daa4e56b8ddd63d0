#include <cstdint>

#include "note_codec.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto meta = knap::index::decode({reinterpret_cast<const char*>(data), size});
  if (meta) {
    const auto again = knap::index::decode(knap::index::encode(*meta));
    if (!again) __builtin_trap();
  }
  return 0;
}
