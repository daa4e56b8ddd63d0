#include "runner/memory_nodes.hpp"

#include <charconv>
#include <cstdint>

#include "knap/base/file.hpp"
#include "knap/base/text.hpp"

namespace knap::models::runner {
namespace {

constexpr std::uint64_t kListBytesMax = 4'096;
constexpr std::size_t kNodeMax = 1'023;  // the kernel's own limit

bool read_number(std::string_view& text, std::size_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number > kNodeMax) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

}  // namespace

std::size_t count_listed(std::string_view list) {
  list = text::trim(list);
  std::size_t count = 0;
  while (true) {
    std::size_t first = 0;
    if (!read_number(list, first)) return 1;
    std::size_t last = first;
    if (list.starts_with('-')) {
      list.remove_prefix(1);
      if (!read_number(list, last) || last < first) return 1;
    }
    count += last - first + 1;
    if (list.empty()) return count;
    if (!list.starts_with(',')) return 1;
    list.remove_prefix(1);
  }
}

std::size_t memory_nodes() {
  const auto list = read_file("/sys/devices/system/node/online", kListBytesMax);
  return list ? count_listed(*list) : 1;
}

}  // namespace knap::models::runner
