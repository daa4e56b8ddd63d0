#include "runner/e5_pack.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstring>

#include "runner/half.hpp"

namespace knap::models::runner {
namespace {

constexpr std::string_view kMagic = "E5S1";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kBlock = 32;
constexpr std::size_t kBlockBytes = 2 + kBlock / 2;
constexpr std::size_t kPiecesMax = 2'000'000;
constexpr std::size_t kNormalMax = 1'000'000;
constexpr std::size_t kTensorsMax = 10'000;
constexpr char32_t kCodePointMax = 0x10FFFF;

Error corrupt(std::string message) {
  return make_error(ErrorCode::kCorruptData, std::move(message));
}

/// The file's name for a tensor of a BERT model; empty when it has none.
std::string packed_name(std::string_view name) {
  using Pair = std::pair<std::string_view, std::string_view>;
  constexpr std::array kEmbeddings{
      Pair{"embeddings.word_embeddings.weight", "emb.word"},
      Pair{"embeddings.position_embeddings.weight", "emb.pos"},
      Pair{"embeddings.token_type_embeddings.weight", "emb.type"},
      Pair{"embeddings.LayerNorm.weight", "emb.ln.w"},
      Pair{"embeddings.LayerNorm.bias", "emb.ln.b"},
  };
  for (const auto& [full, packed] : kEmbeddings) {
    if (name == full) return std::string(packed);
  }
  constexpr std::array kParts{
      Pair{"attention.self.query", "q"},
      Pair{"attention.self.key", "k"},
      Pair{"attention.self.value", "v"},
      Pair{"attention.output.dense", "ao"},
      Pair{"attention.output.LayerNorm", "aln"},
      Pair{"intermediate.dense", "fi"},
      Pair{"output.dense", "fo"},
      Pair{"output.LayerNorm", "oln"},
  };
  constexpr std::string_view kLayer = "encoder.layer.";
  if (!name.starts_with(kLayer)) return {};
  name.remove_prefix(kLayer.size());
  const std::size_t dot = name.find('.');
  const std::size_t last = name.rfind('.');
  if (dot == std::string_view::npos || last <= dot) return {};
  const std::string_view kind = name.substr(last + 1);
  for (const auto& [full, packed] : kParts) {
    if (name.substr(dot + 1, last - dot - 1) == full && (kind == "weight" || kind == "bias"))
      return fmt::format("l{}.{}.{}", name.substr(0, dot), packed, kind == "weight" ? "w" : "b");
  }
  return {};
}

// `blocks` holds a whole number of blocks for out.
void widen(const char* blocks, std::span<float> out) {
  for (std::size_t at = 0; at < out.size(); at += kBlock, blocks += kBlockBytes) {
    std::uint16_t half = 0;
    std::memcpy(&half, blocks, sizeof half);
    const float scale = half_to_float(half);
    for (std::size_t i = 0; i < kBlock / 2; ++i) {
      const auto pair = static_cast<unsigned char>(blocks[2 + i]);
      out[at + i] = scale * static_cast<float>((pair & 0x0F) - 8);
      out[at + kBlock / 2 + i] = scale * static_cast<float>((pair >> 4) - 8);
    }
  }
}

}  // namespace

class E5Pack::Parser {
 public:
  explicit Parser(std::string_view bytes) : bytes_(bytes) {}

  Result<std::unique_ptr<E5Pack>> run() {
    auto pack = std::unique_ptr<E5Pack>(new E5Pack());
    KNAP_TRY(const std::string_view magic, take(kMagic.size()));
    if (magic != kMagic) return corrupt("no E5 pack");
    KNAP_TRY(const auto version, number<std::uint32_t>());
    if (version != kVersion)
      return make_error(ErrorCode::kUnsupported,
                        fmt::format("version {} of the E5 pack is not known", version));
    KNAP_CHECK_OK(read_config(pack->config_));
    KNAP_TRY(auto tokenizer, read_tokenizer());
    if (tokenizer->size() > pack->config_.vocabulary)
      return corrupt("there are more pieces than vectors");
    pack->tokenizer_ = std::move(tokenizer);
    KNAP_TRY(pack->entries_, read_tensors());
    return pack;
  }

 private:
  Result<std::string_view> take(std::uint64_t count) {
    if (count > bytes_.size() - at_) return corrupt("truncated");
    const auto part = bytes_.substr(at_, count);
    at_ += count;
    return part;
  }

  template <typename Number>
  Result<Number> number() {
    KNAP_TRY(const std::string_view part, take(sizeof(Number)));
    Number value{};
    std::memcpy(&value, part.data(), sizeof value);
    return value;
  }

  Result<std::size_t> size(std::string_view what, std::size_t max) {
    KNAP_TRY(const auto value, number<std::int32_t>());
    if (value < 1 || static_cast<std::size_t>(value) > max)
      return corrupt(fmt::format("{} is not from 1 to {}", what, max));
    return static_cast<std::size_t>(value);
  }

  Status read_config(BertConfig& config) {
    KNAP_TRY(config.hidden, size("hidden size", 8'192));
    KNAP_TRY(config.layers, size("number of layers", 128));
    KNAP_TRY(config.heads, size("number of heads", 256));
    KNAP_TRY(config.intermediate, size("intermediate size", 65'536));
    KNAP_TRY(config.vocabulary, size("vocabulary size", kPiecesMax));
    KNAP_TRY(config.positions, size("number of positions", 65'536));
    KNAP_TRY(config.types, size("number of types", 64));
    KNAP_TRY(config.norm_epsilon, number<float>());
    KNAP_TRY(const auto block, size("block size", kBlock));
    if (block != kBlock || config.hidden % kBlock != 0 || config.intermediate % kBlock != 0)
      return corrupt("rows are not made of blocks of 32");
    if (config.hidden % config.heads != 0 || !std::isfinite(config.norm_epsilon))
      return corrupt("the sizes do not fit each other");
    return {};
  }

  Result<std::unique_ptr<Unigram>> read_tokenizer() {
    Unigram::Vocabulary vocabulary;
    KNAP_TRY(const std::size_t count, size("number of pieces", kPiecesMax));
    for (auto* id : {&vocabulary.begin, &vocabulary.end, &vocabulary.pad, &vocabulary.unknown}) {
      KNAP_TRY(*id, number<std::int32_t>());
    }
    KNAP_TRY(const auto blob_bytes, number<std::uint64_t>());
    KNAP_TRY(const std::string_view offsets, take((count + 1) * sizeof(std::uint32_t)));
    KNAP_TRY(const std::string_view scores, take(count * sizeof(float)));
    KNAP_TRY(const std::string_view blob, take(blob_bytes));
    vocabulary.scores.resize(count);
    std::memcpy(vocabulary.scores.data(), scores.data(), scores.size());
    vocabulary.pieces.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      std::array<std::uint32_t, 2> ends{};
      std::memcpy(ends.data(), offsets.data() + i * sizeof(std::uint32_t), sizeof ends);
      if (ends[0] > ends[1] || ends[1] > blob.size()) return corrupt("a piece lies outside");
      vocabulary.pieces.push_back(blob.substr(ends[0], ends[1] - ends[0]));
    }
    KNAP_TRY(vocabulary.normal, read_normal());
    return Unigram::make(std::move(vocabulary));
  }

  Result<std::unordered_map<char32_t, std::u32string>> read_normal() {
    std::unordered_map<char32_t, std::u32string> normal;
    KNAP_TRY(const std::size_t count, size("number of normalised characters", kNormalMax));
    KNAP_CHECK_OK(number<std::uint32_t>());
    for (std::size_t i = 0; i < count; ++i) {
      KNAP_TRY(const auto from, number<std::uint32_t>());
      KNAP_TRY(const auto length, number<std::uint8_t>());
      std::u32string to;
      for (unsigned n = 0; n < length; ++n) {
        KNAP_TRY(const auto c, number<std::uint32_t>());
        if (c > kCodePointMax) return corrupt("a character becomes no character");
        to.push_back(c);
      }
      normal.emplace(from, std::move(to));
    }
    return normal;
  }

  Result<std::map<std::string, Entry, std::less<>>> read_tensors() {
    std::map<std::string, Entry, std::less<>> entries;
    KNAP_TRY(const std::size_t count, size("number of tensors", kTensorsMax));
    for (std::size_t i = 0; i < count; ++i) {
      KNAP_TRY(const auto length, number<std::uint16_t>());
      KNAP_TRY(const std::string_view name, take(length));
      KNAP_TRY(const auto type, number<std::uint8_t>());
      KNAP_TRY(const auto values, number<std::uint32_t>());
      KNAP_TRY(const auto offset, number<std::uint64_t>());
      KNAP_TRY(const auto bytes, number<std::uint64_t>());
      if (type > 1 || (type == 1 && values % kBlock != 0))
        return corrupt(fmt::format("tensor '{}' is of an unknown form", name));
      const std::uint64_t expected = type == 0 ? std::uint64_t{values} * sizeof(float)
                                               : std::uint64_t{values} / kBlock * kBlockBytes;
      if (bytes != expected || offset > bytes_.size() || bytes > bytes_.size() - offset)
        return corrupt(fmt::format("tensor '{}' lies outside the file", name));
      entries.insert_or_assign(std::string(name),
                               Entry{type == 1, values, bytes_.substr(offset, bytes)});
    }
    return entries;
  }

  const std::string_view bytes_;
  std::size_t at_ = 0;
};

Result<std::unique_ptr<E5Pack>> E5Pack::parse(std::string_view bytes) {
  return Parser(bytes).run();
}

Result<std::unique_ptr<E5Pack>> E5Pack::open(const std::filesystem::path& file) {
  KNAP_TRY(MappedFile mapped, MappedFile::open(file));
  auto pack = parse(mapped.bytes());
  if (!pack) return with_context(std::move(pack).error(), file.filename().string());
  (*pack)->file_ = std::move(mapped);
  return pack;
}

Result<const E5Pack::Entry*> E5Pack::find(std::string_view name,
                                          std::span<const std::size_t> shape) const {
  const auto found = entries_.find(packed_name(name));
  if (found == entries_.end()) return corrupt(fmt::format("there is no tensor '{}'", name));
  std::size_t values = 1;
  for (const std::size_t length : shape) values *= length;  // sizes of a checked config
  if (found->second.values != values)
    return corrupt(fmt::format("tensor '{}' has another size than the model's", name));
  return &found->second;
}

Result<std::vector<float>> E5Pack::read(std::string_view name,
                                        std::span<const std::size_t> shape) const {
  KNAP_TRY(const Entry* entry, find(name, shape));
  std::vector<float> values(entry->values);
  if (entry->blocks) {
    widen(entry->bytes.data(), values);
  } else {
    std::memcpy(values.data(), entry->bytes.data(), entry->bytes.size());
  }
  return values;
}

Result<TensorSource::Rows> E5Pack::rows(std::string_view name,
                                        std::span<const std::size_t> shape) const {
  KNAP_TRY(const Entry* entry, find(name, shape));
  const std::size_t row_bytes = entry->bytes.size() / shape[0];
  return Rows([data = entry->bytes.data(), row_bytes, blocks = entry->blocks](
                  std::size_t row, std::span<float> out) {
    const char* from = data + row * row_bytes;
    if (blocks) {
      widen(from, out);
    } else {
      std::memcpy(out.data(), from, out.size_bytes());
    }
  });
}

}  // namespace knap::models::runner
