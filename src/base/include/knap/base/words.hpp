#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace knap::text {

/// The words of a text as text::fold() writes them: runs of letters and digits, in order. For
/// comparing texts; what searches look for is analysed in `search`.
/// Cost: linear. Threads: pure.
std::vector<std::string> folded_words(std::string_view utf8);

}  // namespace knap::text
