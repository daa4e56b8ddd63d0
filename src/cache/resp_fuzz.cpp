#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "knap/base/assert.hpp"
#include "resp.hpp"

/// Any bytes are a value, a beginning of one, or an error; a value takes the same bytes whatever
/// follows, and its beginning alone is never another value.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using knap::cache::resp::read;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto whole = read(bytes);
  if (!whole || !*whole) return 0;
  const std::size_t taken = (*whole)->bytes;
  KNAP_ASSERT(taken > 0 && taken <= size);
  const auto exact = read(bytes.substr(0, taken));
  KNAP_ASSERT(exact && *exact && (*exact)->bytes == taken);
  const auto cut = read(bytes.substr(0, taken - 1));
  KNAP_ASSERT(!cut || !*cut);
  static_cast<void>(knap::cache::resp::slot_of(bytes));
  return 0;
}
