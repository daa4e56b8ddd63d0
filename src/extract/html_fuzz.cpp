#include <cstdlib>

#include "knap/extract/web_page.hpp"
#include "markdown_line.hpp"

// Any bytes are a page; what is read of it survives the way through the pipe.
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace knap::extract;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  static_cast<void>(decode_page(bytes));
  const auto page = read_page_here(bytes, {"https://example.org/a/b?c#d", ""});
  if (!page) return 0;
  const auto again = decode_page(encode(*page));
  if (!again || again->markdown != page->markdown) std::abort();
  return 0;
}
