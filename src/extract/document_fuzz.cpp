#include <cstdlib>

#include "knap/extract/document.hpp"

// What is decoded is the same again after a turn through encode().
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  static_cast<void>(knap::extract::clean_line(bytes));
  const auto document = knap::extract::decode(bytes);
  if (!document) return 0;
  const std::string again = knap::extract::encode(*document);
  const auto second = knap::extract::decode(again);
  if (!second || knap::extract::encode(*second) != again) std::abort();
  return 0;
}
