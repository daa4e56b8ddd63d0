#include "knap/base/words.hpp"

#include "knap/base/text.hpp"

namespace knap::text {

std::vector<std::string> folded_words(std::string_view utf8) {
  const std::string folded = fold(utf8);
  std::vector<std::string> out(1);
  for (std::size_t at = 0; at < folded.size();) {
    const char32_t c = decode(folded, at);
    if (is_alphanumeric(c)) {
      append(out.back(), c);
    } else if (!out.back().empty()) {
      out.emplace_back();
    }
  }
  if (out.back().empty()) out.pop_back();
  return out;
}

}  // namespace knap::text
