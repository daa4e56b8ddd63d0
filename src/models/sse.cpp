#include "sse.hpp"

namespace knap::models {
namespace {
constexpr std::size_t kEventBytesMax = 4U << 20;
}  // namespace

Status SseReader::feed(std::string_view bytes, const OnData& on_data) {
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t end = bytes.find('\n', at);
    if (rest_.size() + bytes.size() - at > kEventBytesMax) {
      return make_error(ErrorCode::kResourceExhausted,
                        "an event of the model's stream is too long");
    }
    if (end == std::string_view::npos) {
      rest_.append(bytes.substr(at));
      return {};
    }
    rest_.append(bytes.substr(at, end - at));
    at = end + 1;
    if (!rest_.empty() && rest_.back() == '\r') rest_.pop_back();
    const std::string text = std::exchange(rest_, {});
    KNAP_CHECK_OK(line(text, on_data));
  }
  return {};
}

Status SseReader::line(std::string_view text, const OnData& on_data) {
  if (text.empty()) {
    if (!has_data_) return {};
    has_data_ = false;
    const std::string data = std::exchange(data_, {});
    if (!on_data(data)) return make_error(ErrorCode::kCancelled, "the caller stopped the stream");
    return {};
  }
  if (!text.starts_with("data:")) return {};  // comments and fields that chat streams do not use
  text.remove_prefix(5);
  if (text.starts_with(' ')) text.remove_prefix(1);
  if (data_.size() + text.size() > kEventBytesMax) {
    return make_error(ErrorCode::kResourceExhausted, "an event of the model's stream is too long");
  }
  if (has_data_) data_ += '\n';
  data_ += text;
  has_data_ = true;
  return {};
}

}  // namespace knap::models
