#pragma once

#include <cstddef>
#include <string_view>

namespace knap::models::runner {

/// How many numbers a list of the kernel's has, as "0-3,8": what is no such list counts as one.
std::size_t count_listed(std::string_view list);
/// Nodes of memory that this machine has (NUMA); 1 where that is not known.
std::size_t memory_nodes();

}  // namespace knap::models::runner
