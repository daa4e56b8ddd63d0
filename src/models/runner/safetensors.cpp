#include "runner/safetensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <boost/json.hpp>
#include <cstring>

#include "knap/base/assert.hpp"
#include "runner/half.hpp"

namespace knap::models::runner {
namespace {

namespace json = boost::json;

constexpr std::size_t kPrefixBytes = 8;
constexpr std::uint64_t kHeaderBytesMax = 16U << 20;  // real headers: 10 KB (MiniLM) to 1 MB
constexpr std::size_t kTensorsMax = 20'000;
constexpr std::size_t kRankMax = 8;
constexpr std::size_t kNestingMax = 8;

struct ElementKind {
  std::string_view name;
  TensorType type;
  std::size_t bytes;
};
constexpr std::array kElementKinds{
    ElementKind{"F32", TensorType::kF32, 4},   ElementKind{"F16", TensorType::kF16, 2},
    ElementKind{"BF16", TensorType::kBf16, 2}, ElementKind{"F64", TensorType::kOther, 8},
    ElementKind{"I64", TensorType::kOther, 8}, ElementKind{"U64", TensorType::kOther, 8},
    ElementKind{"I32", TensorType::kOther, 4}, ElementKind{"U32", TensorType::kOther, 4},
    ElementKind{"I16", TensorType::kOther, 2}, ElementKind{"U16", TensorType::kOther, 2},
    ElementKind{"I8", TensorType::kOther, 1},  ElementKind{"U8", TensorType::kOther, 1},
    ElementKind{"BOOL", TensorType::kOther, 1}};

Error corrupt(std::string message) {
  return make_error(ErrorCode::kCorruptData, std::move(message));
}

// Boost.JSON numbers may be signed, unsigned or floating: only whole numbers from 0 on are lengths.
Result<std::uint64_t> to_length(const json::value& value, std::string_view what) {
  if (value.is_uint64()) return value.get_uint64();
  if (value.is_int64() && value.get_int64() >= 0)
    return static_cast<std::uint64_t>(value.get_int64());
  return corrupt(fmt::format("{} is not a whole number", what));
}

Result<TensorEntry> parse_entry(const json::value& value, std::uint64_t data_begin,
                                std::uint64_t file_bytes) {
  const auto* object = value.if_object();
  if (object == nullptr) return corrupt("not an object");
  const auto* type = object->if_contains("dtype");
  const auto* shape = object->if_contains("shape");
  const auto* offsets = object->if_contains("data_offsets");
  if (type == nullptr || !type->is_string() || shape == nullptr || !shape->is_array() ||
      offsets == nullptr || !offsets->is_array() || offsets->get_array().size() != 2) {
    return corrupt("dtype, shape or data_offsets missing");
  }
  const auto* kind =
      std::ranges::find(kElementKinds, std::string_view(type->get_string()), &ElementKind::name);
  if (kind == kElementKinds.end()) return corrupt("unknown element type");
  TensorEntry entry;
  entry.type = kind->type;
  if (shape->get_array().size() > kRankMax) return corrupt("too many dimensions");
  std::uint64_t bytes = kind->bytes;
  for (const json::value& dimension : shape->get_array()) {
    KNAP_TRY(const std::uint64_t length, to_length(dimension, "shape"));
    if (__builtin_mul_overflow(bytes, length, &bytes)) return corrupt("shape overflows");
    entry.shape.push_back(length);
  }
  KNAP_TRY(const std::uint64_t begin, to_length(offsets->get_array()[0], "data_offsets"));
  KNAP_TRY(const std::uint64_t end, to_length(offsets->get_array()[1], "data_offsets"));
  const std::uint64_t data_bytes = file_bytes - data_begin;
  if (begin > end || end > data_bytes) {
    return corrupt(
        fmt::format("its data ends at byte {} of {}: the file is truncated", end, data_bytes));
  }
  if (end - begin != bytes) return corrupt("shape and data_offsets differ");
  entry.begin = data_begin + begin;
  entry.bytes = bytes;
  return entry;
}

// `from` need not be aligned.
void widen(TensorType type, const char* from, std::span<float> out) {
  if (type == TensorType::kF32) {
    std::memcpy(out.data(), from, out.size_bytes());
    return;
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint16_t narrow = 0;
    std::memcpy(&narrow, from + 2 * i, 2);
    out[i] = type == TensorType::kF16
                 ? half_to_float(narrow)
                 : std::bit_cast<float>(static_cast<std::uint32_t>(narrow) << 16);
  }
}

}  // namespace

Result<std::map<std::string, TensorEntry, std::less<>>> parse_safetensors_header(
    std::string_view head, std::uint64_t file_bytes) {
  if (head.size() < kPrefixBytes) return corrupt("shorter than a safetensors header");
  std::uint64_t header_bytes = 0;
  static_assert(std::endian::native == std::endian::little);
  std::memcpy(&header_bytes, head.data(), kPrefixBytes);
  if (header_bytes > kHeaderBytesMax)
    return corrupt("its header is too long: not a safetensors file");
  if (header_bytes > head.size() - kPrefixBytes) return corrupt("its header is truncated");
  if (file_bytes < kPrefixBytes + header_bytes) return corrupt("its header is truncated");

  json::parse_options options;
  options.max_depth = kNestingMax;
  boost::system::error_code error;
  const json::value root = json::parse(head.substr(kPrefixBytes, header_bytes), error, {}, options);
  if (error) return corrupt("its header is not JSON");
  const auto* object = root.if_object();
  if (object == nullptr) return corrupt("its header is not a JSON object");
  if (object->size() > kTensorsMax)
    return make_error(ErrorCode::kResourceExhausted, "too many tensors");

  std::map<std::string, TensorEntry, std::less<>> tensors;
  for (const auto& [name, value] : *object) {
    if (name == "__metadata__") continue;
    auto entry = parse_entry(value, kPrefixBytes + header_bytes, file_bytes);
    if (!entry)
      return with_context(std::move(entry).error(),
                          fmt::format("tensor '{}'", std::string_view(name)));
    tensors.emplace(std::string(name), *std::move(entry));
  }
  return tensors;
}

Result<std::unique_ptr<Safetensors>> Safetensors::open(const std::filesystem::path& file) {
  std::unique_ptr<Safetensors> result(new Safetensors());
  result->file_ = file.filename().string();
  KNAP_TRY(result->mapped_, MappedFile::open(file));
  const std::string_view bytes = result->mapped_.bytes();
  auto tensors = parse_safetensors_header(bytes, bytes.size());
  if (!tensors) return with_context(std::move(tensors).error(), result->file_);
  result->tensors_ = *std::move(tensors);
  return result;
}

Result<const TensorEntry*> Safetensors::find_floats(std::string_view name,
                                                    std::span<const std::size_t> shape) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return corrupt(fmt::format("{}: no tensor '{}'", file_, name));
  if (!std::ranges::equal(found->second.shape, shape)) {
    return corrupt(
        fmt::format("{}: tensor '{}' has another shape than the model's config says", file_, name));
  }
  if (found->second.type == TensorType::kOther) {
    return make_error(ErrorCode::kUnsupported,
                      fmt::format("{}: tensor '{}' holds no floats", file_, name));
  }
  return &found->second;
}

Result<std::vector<float>> Safetensors::read(std::string_view name,
                                             std::span<const std::size_t> shape) const {
  KNAP_TRY(const TensorEntry* entry, find_floats(name, shape));
  std::vector<float> values(entry->bytes / (entry->type == TensorType::kF32 ? 4 : 2));
  widen(entry->type, mapped_.bytes().data() + entry->begin, values);
  return values;
}

Result<TensorSource::Rows> Safetensors::rows(std::string_view name,
                                             std::span<const std::size_t> shape) const {
  KNAP_ASSERT(shape.size() == 2);
  KNAP_TRY(const TensorEntry* entry, find_floats(name, shape));
  const std::size_t row_bytes = shape[1] * (entry->type == TensorType::kF32 ? 4 : 2);
  return Rows(
      [type = entry->type, data = mapped_.bytes().data() + entry->begin, row_bytes](
          std::size_t row, std::span<float> out) { widen(type, data + row * row_bytes, out); });
}

}  // namespace knap::models::runner
