#include "gguf_header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <variant>

#include "runner/mapped_file.hpp"

namespace knap::models {
namespace {

constexpr std::uint64_t kPairsMax = 4'096;
constexpr std::uint64_t kStringBytesMax = 16U << 20;
constexpr std::uint64_t kArrayItemsMax = 16U << 20;
constexpr std::uint64_t kTensorsMax = 1U << 20;
constexpr std::uint64_t kValueMax = 1U << 24;  // of a number that is used here
constexpr int kDepthMax = 3;
constexpr std::size_t kTextMax = 200;  // of a name that is shown

enum Type : std::uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
  kTypes
};
constexpr std::array<std::size_t, kTypes> kSizes{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/// A value as far as it is wanted: text, or the largest of its whole numbers.
struct Value {
  std::string_view text;
  std::uint64_t number = 0;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <typename Number>
  bool read(Number& number) {
    if (bytes_.size() - at_ < sizeof number) return false;
    std::memcpy(&number, bytes_.data() + at_, sizeof number);
    at_ += sizeof number;
    return true;
  }

  bool read_string(std::string_view& text) {
    std::uint64_t length = 0;
    if (!read(length) || length > kStringBytesMax || length > bytes_.size() - at_) return false;
    text = bytes_.substr(at_, length);
    at_ += length;
    return true;
  }

  bool read_value(std::uint32_t type, Value& value, int depth = 0) {
    if (type == kString) return read_string(value.text);
    if (type == kArray) return depth < kDepthMax && read_array(value, depth);
    if (type >= kTypes || bytes_.size() - at_ < kSizes[type]) return false;
    const bool whole = type != kF32 && type != kF64;
    std::uint64_t number = 0;
    std::memcpy(&number, bytes_.data() + at_, kSizes[type]);  // little-endian, as the file
    if (whole && number <= kValueMax) value.number = std::max(value.number, number);
    at_ += kSizes[type];
    return true;
  }

 private:
  bool read_array(Value& value, int depth) {
    std::uint32_t type = 0;
    std::uint64_t items = 0;
    if (!read(type) || !read(items) || items > kArrayItemsMax) return false;
    for (std::uint64_t i = 0; i < items; ++i) {
      Value item;
      if (!read_value(type, item, depth + 1)) return false;
      value.number = std::max(value.number, item.number);
    }
    return true;
  }

  std::string_view bytes_;
  std::size_t at_ = 0;
};

using Values = std::map<std::string_view, Value, std::less<>>;

// llama.cpp's enum llama_ftype, of which only published numbers stand here.
std::string quantisation_of(std::uint64_t type) {
  switch (type) {
    case 0: return "F32";
    case 1: return "F16";
    case 2: return "Q4_0";
    case 3: return "Q4_1";
    case 7: return "Q8_0";
    case 8: return "Q5_0";
    case 9: return "Q5_1";
    case 10: return "Q2_K";
    case 11: return "Q3_K_S";
    case 12: return "Q3_K_M";
    case 13: return "Q3_K_L";
    case 14: return "Q4_K_S";
    case 15: return "Q4_K_M";
    case 16: return "Q5_K_S";
    case 17: return "Q5_K_M";
    case 18: return "Q6_K";
    case 32: return "BF16";
    default: return {};
  }
}

Value find(const Values& values, std::string_view key) {
  const auto found = values.find(key);
  return found == values.end() ? Value{} : found->second;
}

GgufHeader interpret(const Values& values) {
  GgufHeader header;
  const auto text = [&](std::string_view key) {
    return std::string(find(values, key).text.substr(0, kTextMax));
  };
  header.architecture = text("general.architecture");
  header.name = text("general.name");
  header.licence = text("general.license");
  if (values.contains("general.file_type"))
    header.quantisation = quantisation_of(find(values, "general.file_type").number);
  header.has_chat_template = !find(values, "tokenizer.chat_template").text.empty();
  const auto number = [&](std::string_view key) {
    return static_cast<std::uint32_t>(
        find(values, fmt::format("{}.{}", header.architecture, key)).number);
  };
  header.context = number("context_length");
  header.dimensions = number("embedding_length");
  const std::uint32_t heads = number("attention.head_count");
  const std::uint32_t kv_heads = number("attention.head_count_kv");
  const std::uint32_t key_length = number("attention.key_length");
  header.attention.layers = number("block_count");
  header.attention.kv_heads = kv_heads > 0 ? kv_heads : heads;
  header.attention.head_size = key_length > 0 ? key_length
                               : heads > 0    ? header.dimensions / heads
                                              : 0;
  return header;
}

Error damaged(std::string_view what) {
  return make_error(ErrorCode::kCorruptData, fmt::format("no sound GGUF file: {}", what));
}

}  // namespace

Result<GgufHeader> parse_gguf_header(std::string_view bytes) {
  if (!bytes.starts_with("GGUF")) return damaged("it does not begin with GGUF");
  Reader reader(bytes.substr(4));
  std::uint32_t version = 0;
  std::uint64_t tensors = 0;
  std::uint64_t pairs = 0;
  if (!reader.read(version)) return damaged("it is cut off");
  if (version != 2 && version != 3) {
    return make_error(ErrorCode::kUnsupported,
                      fmt::format("GGUF version {} is not read: 2 and 3 are", version));
  }
  if (!reader.read(tensors) || !reader.read(pairs)) return damaged("it is cut off");
  if (tensors > kTensorsMax || pairs > kPairsMax)
    return damaged("its counts are beyond all models");
  Values values;
  for (std::uint64_t i = 0; i < pairs; ++i) {
    std::string_view key;
    std::uint32_t type = 0;
    Value value;
    if (!reader.read_string(key) || !reader.read(type) || !reader.read_value(type, value))
      return damaged(fmt::format("its metadata breaks off at entry {} of {}", i + 1, pairs));
    values.emplace(key, value);
  }
  GgufHeader header = interpret(values);
  if (header.architecture.empty()) return damaged("it names no architecture");
  return header;
}

Result<GgufHeader> read_gguf_header(const std::filesystem::path& file) {
  KNAP_TRY(const runner::MappedFile mapped, runner::MappedFile::open(file));
  return parse_gguf_header(mapped.bytes());
}

}  // namespace knap::models
