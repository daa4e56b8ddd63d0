#include "whisper_convert.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <span>

#include "ctranslate2.hpp"
#include "knap/base/file.hpp"
#include "knap/base/text.hpp"
#include "runner/half.hpp"
#include "runner/mapped_file.hpp"

namespace knap::models {
namespace {

constexpr std::size_t kHeadBytes = 56 + sizeof(float) * 80 * 201;
constexpr std::uint64_t kVocabularyBytesMax = 4U << 20;
constexpr std::uint32_t kMultilingualTokens = 51'865;
constexpr std::uint32_t kHeadSize = 64;  // of attention, in all Whisper models
constexpr std::uint32_t kLayersMax = 64;
constexpr std::size_t kBlock = 32;  // values that share one scale in q8_0
// ggml's numbers.
constexpr std::uint32_t kF32 = 0;
constexpr std::uint32_t kF16 = 1;
constexpr std::uint32_t kQ8 = 8;
constexpr std::uint32_t kFileOfQ8 = 2'007;  // quantisation version 2, mostly q8_0

Error broken(std::string_view what) {
  return make_error(ErrorCode::kCorruptData, fmt::format("cannot convert the model: {}", what));
}

/// Nearest binary16, ties to even. No infinity or NaN comes in: scales of finite weights.
std::uint16_t float_to_half(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude >= 0x47800000U) return sign | 0x7C00U;  // too large
  if (magnitude < 0x38800000U) {                        // subnormal: in steps of 2^-24
    const auto steps =
        static_cast<std::uint16_t>(std::lrintf(std::bit_cast<float>(magnitude) * 0x1p24F));
    return sign | steps;
  }
  const std::uint32_t rebased = magnitude - 0x38000000U;
  const std::uint32_t rounded = rebased + 0xFFFU + ((rebased >> 13) & 1U);
  return sign | static_cast<std::uint16_t>(rounded >> 13);
}

std::uint16_t half_at(std::string_view bytes, std::size_t index) {
  std::uint16_t value = 0;
  std::memcpy(&value, bytes.data() + index * sizeof value, sizeof value);
  return value;
}

std::string to_floats(std::string_view halves) {
  std::string out(halves.size() * 2, '\0');
  for (std::size_t i = 0; i < halves.size() / 2; ++i) {
    const float value = runner::half_to_float(half_at(halves, i));
    std::memcpy(out.data() + i * sizeof value, &value, sizeof value);
  }
  return out;
}

/// Blocks of 32 values: a 16-bit scale, then 32 bytes. As ggml's reference computes them.
std::string to_q8(std::string_view halves) {
  const std::size_t blocks = halves.size() / sizeof(std::uint16_t) / kBlock;
  std::string out;
  out.reserve(blocks * (kBlock + 2));
  std::array<float, kBlock> values{};
  for (std::size_t block = 0; block < blocks; ++block) {
    float largest = 0;
    for (std::size_t i = 0; i < kBlock; ++i) {
      values[i] = runner::half_to_float(half_at(halves, block * kBlock + i));
      largest = std::max(largest, std::fabs(values[i]));
    }
    const float scale = largest / 127.F;
    const float inverse = scale > 0 ? 1.F / scale : 0.F;
    const std::uint16_t stored = float_to_half(scale);
    out.append(reinterpret_cast<const char*>(&stored), sizeof stored);
    for (const float value : values)
      out.push_back(static_cast<char>(static_cast<std::int8_t>(std::roundf(value * inverse))));
  }
  return out;
}

/// One of the files in 8 and in 16 bits goes to the disk, the latter always into a checksum.
class Output {
 public:
  static Result<Output> open(const std::filesystem::path& path, WhisperBits bits) {
    std::FILE* file = std::fopen(path.c_str(), "wbe");
    if (file == nullptr) return errno_error(errno, "cannot write", path);
    return Output(file, path, bits);
  }

  WhisperBits bits() const { return bits_; }
  void both(std::string_view bytes) {
    eight(bytes);
    sixteen(bytes);
  }
  void number(std::uint32_t value) { both(as_bytes(value)); }
  void numbers(std::uint32_t in_eight, std::uint32_t in_sixteen) {
    eight(as_bytes(in_eight));
    sixteen(as_bytes(in_sixteen));
  }
  void eight(std::string_view bytes) {
    if (bits_ == WhisperBits::kEight) write(bytes);
  }
  void sixteen(std::string_view bytes) {
    failed_ = failed_ || EVP_DigestUpdate(digest_.get(), bytes.data(), bytes.size()) != 1;
    if (bits_ == WhisperBits::kSixteen) write(bytes);
  }
  /// The checksum in hex.
  Result<std::string> close() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
    unsigned length = 0;
    failed_ = EVP_DigestFinal_ex(digest_.get(), raw.data(), &length) != 1 || failed_;
    failed_ = std::fclose(file_.release()) != 0 || failed_;
    if (failed_) return errno_error(errno, "cannot write", path_);
    std::string hex;
    for (const unsigned char byte : std::span(raw).first(length))
      hex += fmt::format("{:02x}", byte);
    return hex;
  }

 private:
  Output(std::FILE* file, std::filesystem::path path, WhisperBits bits)
      : file_(file, &std::fclose),
        digest_(EVP_MD_CTX_new(), &EVP_MD_CTX_free),
        path_(std::move(path)),
        bits_(bits) {
    failed_ = EVP_DigestInit_ex(digest_.get(), EVP_sha256(), nullptr) != 1;
  }
  void write(std::string_view bytes) {
    failed_ = failed_ || std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size();
  }
  static std::string_view as_bytes(const std::uint32_t& value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
  }

  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> digest_;
  std::filesystem::path path_;
  WhisperBits bits_;
  bool failed_ = false;
};

/// GPT-2 writes bytes as letters: those that cannot be seen follow from U+0100 on.
std::map<char32_t, char> byte_letters() {
  std::map<char32_t, char> letters;
  char32_t next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool visible = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
    letters.emplace(visible ? static_cast<char32_t>(byte) : next++, static_cast<char>(byte));
  }
  return letters;
}

/// The tokens that ggml's file names, as bytes: special ones have numbers only.
Result<std::vector<std::string>> read_tokens(const std::filesystem::path& file, bool multilingual) {
  constexpr std::string_view kEnd = "<|endoftext|>";
  KNAP_TRY(const std::string text, read_file(file, kVocabularyBytesMax));
  const auto letters = byte_letters();
  std::vector<std::string> tokens;
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t end = rest.find('\n');
    const std::string_view line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    if (line == kEnd) {
      // The English models' own file names this one too.
      if (!multilingual) tokens.emplace_back(line);
      return tokens;
    }
    std::string& token = tokens.emplace_back();
    for (std::size_t at = 0; at < line.size();) {
      const auto letter = letters.find(text::decode(line, at));
      if (letter == letters.end()) return broken("a token with a letter that stands for no byte");
      token.push_back(letter->second);
    }
  }
  return broken("a vocabulary without <|endoftext|>");
}

class Converter {
 public:
  Converter(const std::map<std::string, HalfTensor, std::less<>>& tensors, Output& out,
            const CancelToken& cancel)
      : tensors_(tensors), out_(out), cancel_(cancel) {}

  Status run(std::string_view head, const std::filesystem::path& vocabulary) {
    KNAP_TRY(const HalfTensor embeddings, find("decoder/embeddings/weight", 2));
    KNAP_TRY(const HalfTensor audio, find("encoder/position_encodings/encodings", 2));
    KNAP_TRY(const HalfTensor words, find("decoder/position_encodings/encodings", 2));
    const std::uint32_t tokens = embeddings.shape[0];
    width_ = embeddings.shape[1];
    if (width_ % kHeadSize != 0 || audio.shape[1] != width_ || words.shape[1] != width_)
      return broken("widths that differ");
    const std::uint32_t encoder = count_layers("encoder");
    const std::uint32_t decoder = count_layers("decoder");
    if (encoder == 0 || decoder == 0) return broken("no layers");
    out_.both(head.substr(0, 4));
    for (const std::uint32_t size : {tokens, audio.shape[0], width_, width_ / kHeadSize, encoder,
                                     words.shape[0], width_, width_ / kHeadSize, decoder, 80U})
      out_.number(size);
    out_.numbers(kFileOfQ8, kF16);
    out_.both(head.substr(48));
    KNAP_CHECK_OK(write_tokens(vocabulary, tokens));
    // In the order of the published file, which the checksum asks for.
    KNAP_CHECK_OK(whole("decoder/position_encodings/encodings", "decoder.positional_embedding", 2));
    KNAP_CHECK_OK(whole("encoder/position_encodings/encodings", "encoder.positional_embedding", 2));
    KNAP_CHECK_OK(whole("decoder/embeddings/weight", "decoder.token_embedding.weight", 2));
    for (std::uint32_t i = 0; i < decoder; ++i) KNAP_CHECK_OK(block("decoder", i));
    KNAP_CHECK_OK(norm("decoder/layer_norm", "decoder.ln"));
    for (const std::string conv : {"conv1", "conv2"}) {
      KNAP_CHECK_OK(whole("encoder/" + conv + "/weight", "encoder." + conv + ".weight", 3));
      KNAP_CHECK_OK(whole("encoder/" + conv + "/bias", "encoder." + conv + ".bias", 1));
    }
    for (std::uint32_t i = 0; i < encoder; ++i) KNAP_CHECK_OK(block("encoder", i));
    return norm("encoder/layer_norm", "encoder.ln_post");
  }

 private:
  Result<HalfTensor> find(const std::string& name, std::size_t rank) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end() || found->second.shape.size() != rank)
      return broken(fmt::format("no {} in 16-bit floats", name));
    return found->second;
  }

  std::uint32_t count_layers(std::string_view side) const {
    std::uint32_t count = 0;
    while (count < kLayersMax &&
           tensors_.contains(fmt::format("{}/layer_{}/ffn/linear_0/bias", side, count)))
      ++count;
    return count;
  }

  Status write_tokens(const std::filesystem::path& vocabulary, std::uint32_t count) {
    KNAP_TRY(const auto tokens, read_tokens(vocabulary, count >= kMultilingualTokens));
    if (tokens.size() > count) return broken("more tokens than the weights have");
    out_.number(static_cast<std::uint32_t>(tokens.size()));
    for (const std::string& token : tokens) {
      out_.number(static_cast<std::uint32_t>(token.size()));
      out_.both(token);
    }
    return {};
  }

  Status whole(const std::string& from, const std::string& name, std::size_t rank) {
    KNAP_TRY(HalfTensor tensor, find(from, rank));
    return write(name, std::move(tensor));
  }

  Status norm(const std::string& from, const std::string& name) {
    KNAP_CHECK_OK(whole(from + "/gamma", name + ".weight", 1));
    return whole(from + "/beta", name + ".bias", 1);
  }

  /// One of `count` tensors that stand in one, along its first size.
  Status part(const std::string& from, std::uint32_t index, std::uint32_t count,
              const std::string& name, std::size_t rank) {
    KNAP_TRY(HalfTensor tensor, find(from, rank));
    if (tensor.shape[0] != width_ * count) return broken(fmt::format("{} of another size", from));
    tensor.shape[0] = width_;
    const std::size_t bytes = tensor.bytes.size() / count;
    tensor.bytes = tensor.bytes.substr(index * bytes, bytes);
    return write(name, std::move(tensor));
  }

  Status projection(const std::string& from, std::uint32_t index, std::uint32_t count,
                    const std::string& name, bool bias) {
    KNAP_CHECK_OK(part(from + "/weight", index, count, name + ".weight", 2));
    // Keys have none: what stands there is zero.
    return bias ? part(from + "/bias", index, count, name + ".bias", 1) : Status();
  }

  /// Of the text itself all three projections stand in one tensor; those that look at the sound
  /// have the queries apart.
  Status attention(const std::string& from, const std::string& name, bool itself) {
    KNAP_CHECK_OK(norm(from + "/layer_norm", name + "_ln"));
    const std::string other = from + (itself ? "/linear_0" : "/linear_1");
    const std::uint32_t count = itself ? 3 : 2;
    KNAP_CHECK_OK(projection(from + "/linear_0", 0, itself ? 3 : 1, name + ".query", true));
    KNAP_CHECK_OK(projection(other, count - 2, count, name + ".key", false));
    KNAP_CHECK_OK(projection(other, count - 1, count, name + ".value", true));
    const std::string last = from + (itself ? "/linear_1" : "/linear_2");
    return projection(last, 0, 1, name + ".out", true);
  }

  Status block(const std::string& side, std::uint32_t index) {
    if (cancel_.cancelled()) return make_error(ErrorCode::kCancelled, "stopped");
    const std::string from = fmt::format("{}/layer_{}", side, index);
    const std::string name = fmt::format("{}.blocks.{}", side, index);
    KNAP_CHECK_OK(norm(from + "/ffn/layer_norm", name + ".mlp_ln"));
    for (const auto& [linear, number] : {std::pair("0", "0"), std::pair("1", "2")}) {
      const std::string source = fmt::format("{}/ffn/linear_{}", from, linear);
      KNAP_CHECK_OK(whole(source + "/weight", fmt::format("{}.mlp.{}.weight", name, number), 2));
      KNAP_CHECK_OK(whole(source + "/bias", fmt::format("{}.mlp.{}.bias", name, number), 1));
    }
    KNAP_CHECK_OK(attention(from + "/self_attention", name + ".attn", true));
    return side == "decoder" ? attention(from + "/attention", name + ".cross_attn", false)
                             : Status();
  }

  Status write(const std::string& name, HalfTensor tensor) {
    const bool conv_bias = name == "encoder.conv1.bias" || name == "encoder.conv2.bias";
    if (conv_bias) tensor.shape.push_back(1);
    const bool wide =
        tensor.shape.size() < 2 || conv_bias || name.ends_with("positional_embedding");
    const bool quantised = !wide && tensor.shape.size() == 2;
    if (quantised && tensor.shape[1] % kBlock != 0) return broken("a matrix of an odd width");
    out_.number(static_cast<std::uint32_t>(tensor.shape.size()));
    out_.number(static_cast<std::uint32_t>(name.size()));
    out_.numbers(wide ? kF32 : quantised ? kQ8 : kF16, wide ? kF32 : kF16);
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) out_.number(*size);
    out_.both(name);
    if (wide) {
      out_.both(to_floats(tensor.bytes));
      return {};
    }
    out_.sixteen(tensor.bytes);
    if (out_.bits() == WhisperBits::kEight)
      out_.eight(quantised ? std::string_view(to_q8(tensor.bytes)) : tensor.bytes);
    return {};
  }

  const std::map<std::string, HalfTensor, std::less<>>& tensors_;
  Output& out_;
  const CancelToken& cancel_;
  std::uint32_t width_ = 0;
};

}  // namespace

Status convert_whisper(const WhisperParts& parts, const std::filesystem::path& out,
                       std::string_view published_sha256, const CancelToken& cancel,
                       WhisperBits bits) {
  KNAP_TRY(const auto weights, runner::MappedFile::open(parts.weights));
  KNAP_TRY(const auto tensors, read_ctranslate2(weights.bytes()));
  KNAP_TRY(const std::string head, read_file(parts.head, kHeadBytes));
  if (head.size() != kHeadBytes) return broken("the head of a ggml file is missing");
  KNAP_TRY(Output output, Output::open(out, bits));
  KNAP_CHECK_OK(Converter(tensors, output, cancel).run(head, parts.vocabulary));
  KNAP_TRY(const std::string sha256, output.close());
  if (published_sha256.empty() || sha256 == published_sha256) return {};
  return broken(fmt::format("in 16 bits it has the checksum {}, and not {} as published", sha256,
                            published_sha256));
}

std::filesystem::path whisper_head() {
#ifdef KNAP_WHISPER_DATA_DIR
  return std::filesystem::path(KNAP_WHISPER_DATA_DIR) / "whisper-head.bin";
#else
  return {};
#endif
}

}  // namespace knap::models
