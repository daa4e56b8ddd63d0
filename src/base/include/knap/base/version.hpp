#pragma once

#include <string_view>

namespace knap {
/// Semantic version of this build, from the file VERSION.
std::string_view version();
}  // namespace knap
