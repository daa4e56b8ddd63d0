#include "runner/bert_model.hpp"

#include <fmt/format.h>

#include "runner/e5_pack.hpp"
#include "runner/safetensors.hpp"
#include "runner/wordpiece.hpp"

namespace knap::models::runner {

Result<BertModel> BertModel::open(const std::filesystem::path& dir) {
  BertModel model;
  std::error_code error;
  if (std::filesystem::exists(dir / E5Pack::kFileName, error)) {
    KNAP_TRY(auto pack, E5Pack::open(dir / E5Pack::kFileName));
    model.config = pack->config();
    model.tokenizer = pack->tokenizer();
    model.weights = std::move(pack);
    return model;
  }
  KNAP_TRY(model.config, read_bert_config(dir / "config.json"));
  KNAP_TRY(auto tokenizer, Wordpiece::open(dir / "vocab.txt"));
  if (tokenizer.size() > model.config.vocabulary) {
    return make_error(ErrorCode::kCorruptData,
                      "vocab.txt has more pieces than the model has vectors");
  }
  model.tokenizer = std::make_shared<Wordpiece>(std::move(tokenizer));
  KNAP_TRY(model.weights, Safetensors::open(dir / "model.safetensors"));
  return model;
}

Result<EmbeddingTable> BertModel::table(std::size_t max_tokens) const {
  if (max_tokens < 2 || max_tokens > config.positions) {
    return make_error(
        ErrorCode::kInvalidArgument,
        fmt::format("the window of {} tokens is not from 2 to {}", max_tokens, config.positions));
  }
  return EmbeddingTable::open(config, *weights, max_tokens);
}

Result<std::unique_ptr<BertEncoder>> BertModel::encoder(const EmbeddingTable& table,
                                                        BertEncoder::Options options) const {
  options.pad_id = tokenizer->pad_id();
  if (options.precision == Precision::kInt8Plain) {
    auto plain = make_int8_encoder(config, *weights, table, options);
    // Models of odd sizes run too, exactly and slower.
    if (plain || plain.error().code != ErrorCode::kUnsupported) return plain;
    options.precision = Precision::kF32;
  }
  return make_openvino_encoder(config, *weights, table, options);
}

}  // namespace knap::models::runner
