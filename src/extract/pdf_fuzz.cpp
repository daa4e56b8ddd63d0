#include <cstdlib>

#include "pdf_text.hpp"

// The bytes as each of the three outputs of poppler's programs that are read.
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace knap::extract;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  static_cast<void>(read_facts(bytes));
  const auto outline = read_outline(bytes);
  auto pages = read_pages(bytes, 1);
  if (!pages) return 0;
  drop_running_lines(*pages);
  Document document;
  add_blocks(*pages, outline, document);
  if (!decode(encode(document))) std::abort();
  return 0;
}
