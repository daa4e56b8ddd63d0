#include <cstddef>
#include <cstdint>
#include <string_view>

#include "knap/base/assert.hpp"
#include "knap/vault/parse.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  // Small passages make every cut happen on small inputs.
  const knap::vault::ParseOptions options = {.passages = {.target_tokens = 16, .max_tokens = 24}};
  const auto note = knap::vault::parse("Note.md", bytes, options);
  if (!note) return 0;
  for (const auto& passage : note->passages) {
    KNAP_ASSERT(!passage.plain.empty());
    KNAP_ASSERT(passage.lines.first >= 1 && passage.lines.first <= passage.lines.last);
  }
  return 0;
}
