#include "runner/bert_gguf.hpp"

#include <array>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <ggml.h>
#include <gguf.h>

#include "knap/base/file.hpp"
#include "runner/bert_config.hpp"
#include "runner/safetensors.hpp"

namespace knap::models::runner {
namespace {

constexpr std::uint64_t kVocabularyBytesMax = 16U << 20;
constexpr std::uint32_t kPoolingMean = 1;
constexpr std::uint32_t kFileTypeF32 = 0;
constexpr std::uint32_t kFileTypeMostlyQ8 = 7;

struct TensorName {
  std::string_view gguf, safetensors;
};
// Of one layer; "{}" is its number.
constexpr std::array kLayerMatrices = {TensorName{"attn_q", "attention.self.query"},
                                       TensorName{"attn_k", "attention.self.key"},
                                       TensorName{"attn_v", "attention.self.value"},
                                       TensorName{"attn_output", "attention.output.dense"},
                                       TensorName{"ffn_up", "intermediate.dense"},
                                       TensorName{"ffn_down", "output.dense"}};
constexpr std::array kLayerNorms = {TensorName{"attn_output_norm", "attention.output.LayerNorm"},
                                    TensorName{"layer_output_norm", "output.LayerNorm"}};

class Writer {
 public:
  Writer(const Safetensors& weights, std::size_t bytes)
      : weights_(weights),
        gguf_(gguf_init_empty(), gguf_free),
        tensors_(ggml_init({bytes, nullptr, false}), ggml_free) {}

  gguf_context* gguf() const { return gguf_.get(); }

  /// @param rows  0: a vector of `columns`
  Status add(const std::string& name, const std::string& source, std::size_t rows,
             std::size_t columns, ggml_type type) {
    const std::vector<std::size_t> shape =
        rows == 0 ? std::vector{columns} : std::vector{rows, columns};
    KNAP_TRY(const std::vector<float> values, weights_.read(source, shape));
    const auto wide = static_cast<std::int64_t>(columns);
    const auto high = static_cast<std::int64_t>(rows);
    ggml_tensor* tensor = rows == 0 ? ggml_new_tensor_1d(tensors_.get(), type, wide)
                                    : ggml_new_tensor_2d(tensors_.get(), type, wide, high);
    ggml_set_name(tensor, name.c_str());
    ggml_quantize_chunk(type, values.data(), tensor->data, 0, rows == 0 ? 1 : high, wide, nullptr);
    gguf_add_tensor(gguf_.get(), tensor);
    return {};
  }

 private:
  const Safetensors& weights_;
  std::unique_ptr<gguf_context, decltype(&gguf_free)> gguf_;
  std::unique_ptr<ggml_context, decltype(&ggml_free)> tensors_;
};

/// llama.cpp keeps WordPiece vocabularies with the sense of "##" turned round: what begins a word
/// carries U+2581.
Status add_vocabulary(gguf_context* gguf, const std::filesystem::path& file) {
  KNAP_TRY(const std::string text, read_file(file, kVocabularyBytesMax));
  std::vector<std::string> pieces;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string piece = text.substr(begin, end - begin);
    if (piece.starts_with('[') && piece.ends_with(']')) {
      pieces.push_back(piece);
    } else {
      pieces.push_back(piece.starts_with("##") ? piece.substr(2) : "\u2581" + piece);
    }
    begin = end + 1;
  }
  std::vector<const char*> pointers;
  for (const auto& piece : pieces) pointers.push_back(piece.c_str());
  gguf_set_val_str(gguf, "tokenizer.ggml.model", "bert");
  gguf_set_arr_str(gguf, "tokenizer.ggml.tokens", pointers.data(), pointers.size());
  const std::vector<std::int32_t> types(pieces.size(), 1);
  gguf_set_arr_data(gguf, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, types.data(), types.size());
  gguf_set_val_u32(gguf, "tokenizer.ggml.token_type_count", 2);
  const auto id = [&](std::string_view name) {
    return static_cast<std::uint32_t>(std::find(pieces.begin(), pieces.end(), name) -
                                      pieces.begin());
  };
  gguf_set_val_u32(gguf, "tokenizer.ggml.bos_token_id", id("[CLS]"));
  gguf_set_val_u32(gguf, "tokenizer.ggml.cls_token_id", id("[CLS]"));
  gguf_set_val_u32(gguf, "tokenizer.ggml.seperator_token_id",
                   id("[SEP]"));  // llama.cpp's own spelling
  gguf_set_val_u32(gguf, "tokenizer.ggml.unknown_token_id", id("[UNK]"));
  gguf_set_val_u32(gguf, "tokenizer.ggml.padding_token_id", id("[PAD]"));
  gguf_set_val_u32(gguf, "tokenizer.ggml.mask_token_id", id("[MASK]"));
  return {};
}

void add_shape(gguf_context* gguf, const BertConfig& config, std::uint32_t file_type) {
  gguf_set_val_str(gguf, "general.architecture", "bert");
  gguf_set_val_str(gguf, "general.name", "bert");
  gguf_set_val_u32(gguf, "general.file_type", file_type);
  gguf_set_val_u32(gguf, "bert.block_count", static_cast<std::uint32_t>(config.layers));
  gguf_set_val_u32(gguf, "bert.context_length", static_cast<std::uint32_t>(config.positions));
  gguf_set_val_u32(gguf, "bert.embedding_length", static_cast<std::uint32_t>(config.hidden));
  gguf_set_val_u32(gguf, "bert.feed_forward_length",
                   static_cast<std::uint32_t>(config.intermediate));
  gguf_set_val_u32(gguf, "bert.attention.head_count", static_cast<std::uint32_t>(config.heads));
  gguf_set_val_f32(gguf, "bert.attention.layer_norm_epsilon", config.norm_epsilon);
  gguf_set_val_bool(gguf, "bert.attention.causal", false);
  gguf_set_val_u32(gguf, "bert.pooling_type", kPoolingMean);
}

}  // namespace

Status write_bert_gguf(const std::filesystem::path& model_dir,
                       const std::filesystem::path& gguf_file, BertWeights matrices) {
  const ggml_type type = matrices == BertWeights::kQ8 ? GGML_TYPE_Q8_0 : GGML_TYPE_F32;
  KNAP_TRY(const BertConfig config, read_bert_config(model_dir / "config.json"));
  KNAP_TRY(const auto weights, Safetensors::open(model_dir / "model.safetensors"));
  // Quantised data and one object a tensor always fit in what the floats take.
  Writer writer(*weights, std::filesystem::file_size(model_dir / "model.safetensors") + (1U << 20));
  add_shape(writer.gguf(), config, matrices == BertWeights::kQ8 ? kFileTypeMostlyQ8 : kFileTypeF32);
  KNAP_CHECK_OK(add_vocabulary(writer.gguf(), model_dir / "vocab.txt"));

  const std::size_t hidden = config.hidden;
  KNAP_CHECK_OK(writer.add("token_embd.weight", "embeddings.word_embeddings.weight",
                           config.vocabulary, hidden, type));
  KNAP_CHECK_OK(writer.add("position_embd.weight", "embeddings.position_embeddings.weight",
                           config.positions, hidden, GGML_TYPE_F32));
  KNAP_CHECK_OK(writer.add("token_types.weight", "embeddings.token_type_embeddings.weight",
                           config.types, hidden, GGML_TYPE_F32));
  for (const std::string part : {"weight", "bias"}) {
    KNAP_CHECK_OK(writer.add("token_embd_norm." + part, "embeddings.LayerNorm." + part, 0, hidden,
                             GGML_TYPE_F32));
  }
  for (std::size_t layer = 0; layer < config.layers; ++layer) {
    const std::string to = fmt::format("blk.{}.", layer);
    const std::string from = fmt::format("encoder.layer.{}.", layer);
    for (const auto& [gguf, source] : kLayerMatrices) {
      const std::size_t rows = gguf == "ffn_up" ? config.intermediate : hidden;
      const std::size_t columns = gguf == "ffn_down" ? config.intermediate : hidden;
      KNAP_CHECK_OK(writer.add(fmt::format("{}{}.weight", to, gguf),
                               fmt::format("{}{}.weight", from, source), rows, columns, type));
      KNAP_CHECK_OK(writer.add(fmt::format("{}{}.bias", to, gguf),
                               fmt::format("{}{}.bias", from, source), 0, rows, GGML_TYPE_F32));
    }
    for (const auto& [gguf, source] : kLayerNorms) {
      for (const std::string_view part : {"weight", "bias"}) {
        KNAP_CHECK_OK(writer.add(fmt::format("{}{}.{}", to, gguf, part),
                                 fmt::format("{}{}.{}", from, source, part), 0, hidden,
                                 GGML_TYPE_F32));
      }
    }
  }
  if (!gguf_write_to_file(writer.gguf(), gguf_file.c_str(), false)) {
    return make_error(ErrorCode::kIo, "cannot write " + gguf_file.string() +
                                          "; check the folder and the free space");
  }
  return {};
}

}  // namespace knap::models::runner
