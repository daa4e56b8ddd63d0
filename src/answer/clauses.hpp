#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace knap::answer {

/// The parts of a sentence that may say different things of different subjects: cut at semicolons
/// and at words such as "whereas", "but" and "although" (English and German). One part: the
/// sentence itself. At most kClausesMax; the rest stays in the last one.
std::vector<std::string_view> clauses_of(std::string_view sentence);
inline constexpr std::size_t kClausesMax = 16;

}  // namespace knap::answer
