#include <cstddef>
#include <cstdint>
#include <string_view>

#include "front_matter.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view yaml(reinterpret_cast<const char*>(data), size);
  knap::vault::Note note;
  auto read = knap::vault::read_front_matter(yaml, 2, 64);
  if (read.error.empty()) knap::vault::apply_front_matter(std::move(read), note);
  return 0;
}
