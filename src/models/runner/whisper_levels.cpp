#include "runner/whisper_levels.hpp"

#include <fmt/format.h>
#include <ggml.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "knap/base/file.hpp"
#include "runner/half.hpp"
#include "runner/mapped_file.hpp"

namespace knap::models::runner {
namespace {

constexpr std::uint32_t kMagic = 0x67676d6c;
constexpr std::size_t kSizes = 11;                 // of the head; the last tells the level
constexpr std::uint32_t kQuantisationVersion = 2;  // of ggml: enters the head a thousandfold
constexpr std::uint32_t kFiltersMax = 1'024, kFilterWidthMax = 4'096;  // 128 of 201 at most
constexpr std::size_t kTokensMax = 100'000;                            // Whisper has 51,866 at most
constexpr std::size_t kTokenBytesMax = 1'024;
constexpr std::uint64_t kValuesMax = 1ULL << 30;  // of one tensor
constexpr std::int64_t kRowsTogether = 1'024;
constexpr std::size_t kLongBlock = 256;  // of the levels with a K

struct Level {
  std::string_view asked, name;
  ggml_type type;
  std::uint32_t file;  ///< As ggml_ftype numbers it.
};
constexpr std::array kLevels{Level{"F32", "F32", GGML_TYPE_F32, GGML_FTYPE_ALL_F32},
                             Level{"F16", "F16", GGML_TYPE_F16, GGML_FTYPE_MOSTLY_F16},
                             Level{"Q8_0", "Q8_0", GGML_TYPE_Q8_0, GGML_FTYPE_MOSTLY_Q8_0},
                             Level{"Q6_K", "Q6_K", GGML_TYPE_Q6_K, GGML_FTYPE_MOSTLY_Q6_K},
                             Level{"Q5_K_M", "Q5_K", GGML_TYPE_Q5_K, GGML_FTYPE_MOSTLY_Q5_K},
                             Level{"Q4_K_M", "Q4_K", GGML_TYPE_Q4_K, GGML_FTYPE_MOSTLY_Q4_K}};
// In the place of those whose blocks are too long.
constexpr std::array kShortLevels{Level{"Q5_K_M", "Q5_0", GGML_TYPE_Q5_0, GGML_FTYPE_MOSTLY_Q5_0},
                                  Level{"Q4_K_M", "Q4_0", GGML_TYPE_Q4_0, GGML_FTYPE_MOSTLY_Q4_0}};

Error broken(std::string_view what) {
  return make_error(ErrorCode::kCorruptData, fmt::format("no Whisper model in 16 bits: {}", what));
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  bool at_end() const { return rest_.empty(); }
  Result<std::string_view> take(std::uint64_t count) {
    if (count > rest_.size()) return broken("it ends too early");
    const std::string_view bytes = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return bytes;
  }
  Result<std::uint32_t> number() {
    KNAP_TRY(const std::string_view bytes, take(sizeof(std::uint32_t)));
    std::uint32_t value = 0;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }

 private:
  std::string_view rest_;
};

class Writer {
 public:
  static Result<Writer> open(const std::filesystem::path& path) {
    std::FILE* file = std::fopen(path.c_str(), "wbe");
    if (file == nullptr) return errno_error(errno, "cannot write", path);
    return Writer(file, path);
  }
  void bytes(std::string_view bytes) {
    failed_ = failed_ || std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size();
  }
  void number(std::uint32_t value) { bytes({reinterpret_cast<const char*>(&value), sizeof value}); }
  Status close() {
    failed_ = std::fclose(file_.release()) != 0 || failed_;
    return failed_ ? Status(errno_error(errno, "cannot write", path_)) : Status();
  }

 private:
  Writer(std::FILE* file, std::filesystem::path path)
      : file_(file, &std::fclose), path_(std::move(path)) {}
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  std::filesystem::path path_;
  bool failed_ = false;
};

struct Tensor {
  std::uint32_t type = 0;
  std::vector<std::uint32_t> sizes;  ///< The quickest first.
  std::string_view name, values;

  std::size_t row() const { return sizes.front(); }
};

Result<Tensor> read_tensor(Reader& in) {
  Tensor tensor;
  KNAP_TRY(const std::uint32_t rank, in.number());
  KNAP_TRY(const std::uint32_t name_length, in.number());
  KNAP_TRY(tensor.type, in.number());
  if (rank < 1 || rank > 4) return broken("a tensor with a rank that there is not");
  if (tensor.type != GGML_TYPE_F32 && tensor.type != GGML_TYPE_F16)
    return broken("its numbers have fewer bits already");
  std::uint64_t values = 1;
  for (std::uint32_t i = 0; i < rank; ++i) {
    KNAP_TRY(const std::uint32_t size, in.number());
    values *= size;
    if (size == 0 || values > kValuesMax) return broken("a tensor of a size that there is not");
    tensor.sizes.push_back(size);
  }
  KNAP_TRY(tensor.name, in.take(name_length));
  KNAP_TRY(tensor.values, in.take(values * (tensor.type == GGML_TYPE_F16 ? 2 : 4)));
  return tensor;
}

std::vector<float> floats_of(std::string_view halves) {
  std::vector<float> out(halves.size() / 2);
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint16_t half = 0;
    std::memcpy(&half, halves.data() + i * sizeof half, sizeof half);
    out[i] = half_to_float(half);
  }
  return out;
}

class Levelling {
 public:
  Levelling(Reader in, const Level& level, Writer& out, const CancelToken& cancel)
      : in_(in), level_(level), out_(out), cancel_(cancel) {}

  Status run() {
    KNAP_CHECK_OK(copy_head());
    while (!in_.at_end()) {
      if (cancel_.cancelled()) return make_error(ErrorCode::kCancelled, "stopped");
      KNAP_TRY(const Tensor tensor, read_tensor(in_));
      KNAP_CHECK_OK(write(tensor));
    }
    return {};
  }

 private:
  Status copy_head() {
    KNAP_TRY(const std::string_view head, in_.take(4 + (kSizes - 1) * 4));
    KNAP_TRY(const std::uint32_t file, in_.number());
    if (file != GGML_FTYPE_MOSTLY_F16) return broken("its head names another level");
    out_.bytes(head);
    const bool plain = level_.type == GGML_TYPE_F32 || level_.type == GGML_TYPE_F16;
    out_.number(level_.file + (plain ? 0 : kQuantisationVersion * 1'000));
    KNAP_TRY(const std::uint32_t filters, in_.number());
    KNAP_TRY(const std::uint32_t width, in_.number());
    if (filters > kFiltersMax || width > kFilterWidthMax) return broken("no such bank of filters");
    KNAP_TRY(const std::string_view values, in_.take(std::uint64_t{filters} * width * 4));
    out_.number(filters);
    out_.number(width);
    out_.bytes(values);
    KNAP_TRY(const std::uint32_t tokens, in_.number());
    if (tokens > kTokensMax) return broken("more tokens than there are");
    out_.number(tokens);
    for (std::uint32_t i = 0; i < tokens; ++i) {
      KNAP_TRY(const std::uint32_t length, in_.number());
      if (length > kTokenBytesMax) return broken("a token longer than there is");
      KNAP_TRY(const std::string_view token, in_.take(length));
      out_.number(length);
      out_.bytes(token);
    }
    return {};
  }

  Status write(const Tensor& tensor) {
    const bool matrix = tensor.type == GGML_TYPE_F16 && tensor.sizes.size() == 2;
    auto type = static_cast<ggml_type>(tensor.type);
    if (matrix || (level_.type == GGML_TYPE_F32 && type == GGML_TYPE_F16)) type = level_.type;
    out_.number(static_cast<std::uint32_t>(tensor.sizes.size()));
    out_.number(static_cast<std::uint32_t>(tensor.name.size()));
    out_.number(type);
    for (const std::uint32_t size : tensor.sizes) out_.number(size);
    out_.bytes(tensor.name);
    if (type == static_cast<ggml_type>(tensor.type)) {
      out_.bytes(tensor.values);
      return {};
    }
    const std::vector<float> floats = floats_of(tensor.values);
    if (type == GGML_TYPE_F32) {
      out_.bytes({reinterpret_cast<const char*>(floats.data()), floats.size() * 4});
      return {};
    }
    const auto row = static_cast<std::int64_t>(tensor.row());
    if (row % ggml_blck_size(type) != 0) return broken("a matrix of another width than the head's");
    const auto rows = static_cast<std::int64_t>(floats.size()) / row;
    const auto together = static_cast<std::size_t>(std::min(kRowsTogether, rows));
    std::string packed(ggml_row_size(type, row) * together, '\0');
    for (std::int64_t at = 0; at < rows; at += kRowsTogether) {
      const std::int64_t count = std::min(kRowsTogether, rows - at);
      const std::size_t bytes = ggml_quantize_chunk(type, floats.data() + at * row, packed.data(),
                                                    0, count, row, nullptr);
      out_.bytes({packed.data(), bytes});
    }
    return {};
  }

  Reader in_;
  const Level& level_;
  Writer& out_;
  const CancelToken& cancel_;
};

/// The sizes that the head tells: of a row of sound and of text.
Result<std::array<std::uint32_t, 2>> widths(std::string_view file) {
  Reader in(file);
  KNAP_TRY(const std::uint32_t magic, in.number());
  if (magic != kMagic) return broken("it does not begin like one");
  std::array<std::uint32_t, kSizes> sizes{};
  for (std::uint32_t& size : sizes) {
    KNAP_TRY(size, in.number());
  }
  return std::array{sizes[2], sizes[6]};
}

Result<Level> choose(std::string_view asked, std::string_view file) {
  KNAP_TRY(const auto rows, widths(file));
  const auto* level = std::ranges::find(kLevels, asked, &Level::asked);
  if (level == kLevels.end())
    return make_error(ErrorCode::kInvalidArgument, fmt::format("no level is called '{}'", asked));
  if (ggml_blck_size(level->type) < static_cast<std::int64_t>(kLongBlock) ||
      std::ranges::all_of(rows, [](std::uint32_t row) { return row % kLongBlock == 0; }))
    return *level;
  const auto* instead = std::ranges::find(kShortLevels, asked, &Level::asked);
  if (instead != kShortLevels.end()) return *instead;
  return make_error(ErrorCode::kUnsupported,
                    fmt::format("its rows of {} numbers are no multiple of {}, as {} wants them",
                                rows[0], kLongBlock, asked));
}

}  // namespace

Result<std::string> write_whisper_level(const std::filesystem::path& from, std::string_view level,
                                        const std::filesystem::path& to,
                                        const CancelToken& cancel) {
  KNAP_TRY(const MappedFile file, MappedFile::open(from));
  KNAP_TRY(const Level chosen, choose(level, file.bytes()));
  KNAP_TRY(Writer out, Writer::open(to));
  KNAP_CHECK_OK(Levelling(Reader(file.bytes()), chosen, out, cancel).run());
  KNAP_CHECK_OK(out.close());
  return std::string(chosen.name);
}

}  // namespace knap::models::runner
