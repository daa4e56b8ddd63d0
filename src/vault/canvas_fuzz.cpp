#include <cstddef>
#include <cstdint>
#include <string_view>

#include "knap/vault/parse.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const char* const path : {"Board.canvas", "Drawing.excalidraw", "Table.base"}) {
    const auto note = knap::vault::parse(path, bytes);
    (void)note.has_value();
  }
  return 0;
}
