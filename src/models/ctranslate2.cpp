#include "ctranslate2.hpp"

#include <cstring>

#include <fmt/format.h>

namespace knap::models {
namespace {

constexpr std::uint32_t kVersion = 6;
constexpr std::uint32_t kVariablesMax = 10'000;
constexpr std::uint8_t kRankMax = 3;
constexpr std::uint32_t kSizeMax = 1U << 20;  // of one dimension
constexpr std::uint8_t kHalf = 4;             // the format's number for 16-bit floats

Error broken(std::string_view what) {
  return make_error(ErrorCode::kCorruptData, fmt::format("not a CTranslate2 model: {}", what));
}

/// Takes numbers and texts from the front; once something is missing, it stays failed.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  template <typename Number>
  Number number() {
    Number value{};
    const std::string_view bytes = take(sizeof value);
    if (!failed_) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  std::string_view take(std::size_t count) {
    if (failed_ || count > rest_.size()) {
      failed_ = true;
      return {};
    }
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }
  /// The format counts the final zero in.
  std::string_view text() {
    std::string_view value = take(number<std::uint16_t>());
    while (value.ends_with('\0')) value.remove_suffix(1);
    return value;
  }
  bool failed() const { return failed_; }

 private:
  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace

Result<std::map<std::string, HalfTensor, std::less<>>> read_ctranslate2(std::string_view file) {
  Reader reader(file);
  if (reader.number<std::uint32_t>() != kVersion || reader.failed())
    return broken("it does not begin with version 6");
  reader.text();                   // the model's kind
  reader.number<std::uint32_t>();  // its revision
  const auto count = reader.number<std::uint32_t>();
  if (reader.failed() || count > kVariablesMax) return broken("too many variables");
  std::map<std::string, HalfTensor, std::less<>> tensors;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::string name(reader.text());
    HalfTensor tensor;
    std::uint64_t values = 1;
    const auto rank = reader.number<std::uint8_t>();
    if (rank > kRankMax) return broken("a variable of too many dimensions");
    for (std::uint8_t d = 0; d < rank; ++d) {
      tensor.shape.push_back(reader.number<std::uint32_t>());
      if (tensor.shape.back() == 0 || tensor.shape.back() > kSizeMax)
        return broken("a variable of an impossible size");
      values *= tensor.shape.back();
    }
    const auto type = reader.number<std::uint8_t>();
    tensor.bytes = reader.take(reader.number<std::uint32_t>());
    if (reader.failed()) return broken("it ends too early");
    if (type != kHalf || rank == 0) continue;
    if (tensor.bytes.size() != values * sizeof(std::uint16_t))
      return broken("a variable whose size and shape differ");
    tensors.insert_or_assign(name, std::move(tensor));
  }
  return tensors;
}

}  // namespace knap::models
