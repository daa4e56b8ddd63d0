#include "runner/text_stream.hpp"

#include <algorithm>
#include <utility>

#include "knap/base/text.hpp"

namespace knap::models::runner {
namespace {

constexpr std::size_t kUtf8BytesMax = 4;

// Length of the character that begins with this byte; 1 for bytes that begin none.
std::size_t character_bytes(unsigned char lead) {
  if (lead >= 0xF0) return 4;
  if (lead >= 0xE0) return 3;
  return lead >= 0xC0 ? 2 : 1;
}

// Bytes at the end that are the beginning of a character whose rest has not come.
std::size_t unfinished_bytes(std::string_view text) {
  for (std::size_t back = 1; back <= std::min(kUtf8BytesMax, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0U) == 0x80U) continue;  // inside a character
    return character_bytes(byte) > back ? back : 0;
  }
  return 0;
}

}  // namespace

std::size_t TextStream::showable() const {
  std::size_t keep = unfinished_bytes(held_);
  for (const std::string& stop : stop_) {
    for (std::size_t length = std::min(stop.size() - 1, held_.size()); length > keep; --length) {
      if (std::string_view(held_).ends_with(std::string_view(stop).substr(0, length))) {
        keep = length;
        break;
      }
    }
  }
  return held_.size() - keep;
}

std::string TextStream::push(std::string_view piece) {
  if (stopped_) return {};
  held_ += piece;
  std::size_t first_stop = std::string::npos;
  for (const std::string& stop : stop_) first_stop = std::min(first_stop, held_.find(stop));
  if (first_stop != std::string::npos) {
    held_.resize(first_stop);
    stopped_ = true;
    return text::repair_utf8(std::exchange(held_, {}));
  }
  const std::size_t length = showable();
  std::string shown = held_.substr(0, length);
  held_.erase(0, length);
  return text::is_valid_utf8(shown) ? shown : text::repair_utf8(shown);
}

std::string TextStream::finish() { return text::repair_utf8(std::exchange(held_, {})); }

}  // namespace knap::models::runner
