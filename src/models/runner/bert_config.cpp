#include "runner/bert_config.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>

#include "knap/base/file.hpp"

namespace knap::models::runner {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kConfigBytesMax = 1U << 20;

Result<std::size_t> read_size(const json::object& config, std::string_view key, std::size_t max) {
  const auto* value = config.if_contains(key);
  if (value == nullptr || !value->is_int64() || value->get_int64() < 1 ||
      value->get_int64() > static_cast<std::int64_t>(max)) {
    return make_error(ErrorCode::kCorruptData,
                      fmt::format("{} is missing or not from 1 to {}", key, max));
  }
  return static_cast<std::size_t>(value->get_int64());
}

std::string_view read_text(const json::object& config, std::string_view key) {
  const auto* value = config.if_contains(key);
  return value != nullptr && value->is_string() ? std::string_view(value->get_string())
                                                : std::string_view();
}

}  // namespace

Result<BertConfig> parse_bert_config(std::string_view text) {
  boost::system::error_code error;
  const json::value root = json::parse(text, error);
  if (error || !root.is_object()) return make_error(ErrorCode::kCorruptData, "not a JSON object");
  const json::object& config = root.get_object();
  if (read_text(config, "model_type") != "bert" || read_text(config, "hidden_act") != "gelu") {
    return make_error(ErrorCode::kUnsupported, "only BERT models with gelu are read");
  }
  BertConfig result;
  KNAP_TRY(result.vocabulary, read_size(config, "vocab_size", 1'000'000));
  KNAP_TRY(result.positions, read_size(config, "max_position_embeddings", 65'536));
  KNAP_TRY(result.types, read_size(config, "type_vocab_size", 64));
  KNAP_TRY(result.hidden, read_size(config, "hidden_size", 8'192));
  KNAP_TRY(result.layers, read_size(config, "num_hidden_layers", 128));
  KNAP_TRY(result.heads, read_size(config, "num_attention_heads", 256));
  KNAP_TRY(result.intermediate, read_size(config, "intermediate_size", 65'536));
  if (result.hidden % result.heads != 0) {
    return make_error(ErrorCode::kCorruptData, "hidden_size is no multiple of num_attention_heads");
  }
  if (const auto* epsilon = config.if_contains("layer_norm_eps");
      epsilon != nullptr && epsilon->is_double()) {
    result.norm_epsilon = static_cast<float>(epsilon->get_double());
  }
  return result;
}

Result<BertConfig> read_bert_config(const std::filesystem::path& file) {
  KNAP_TRY(const std::string bytes, read_file(file, kConfigBytesMax));
  auto config = parse_bert_config(bytes);
  if (!config) return with_context(std::move(config).error(), file.filename().string());
  return config;
}

}  // namespace knap::models::runner
