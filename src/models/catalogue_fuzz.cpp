#include <cstdint>
#include <cstdlib>
#include <string>

#include "catalogue.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto catalogue =
      knap::models::Catalogue::parse(std::string(reinterpret_cast<const char*>(data), size));
  if (!catalogue) return 0;
  for (const auto& [name, spec] : catalogue->models()) {
    if (name.find('/') != std::string::npos || name.front() == '.') std::abort();
  }
  return 0;
}
