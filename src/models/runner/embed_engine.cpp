#include "runner/embed_engine.hpp"

#include <fmt/format.h>

#include "runner/bert_config.hpp"
#include "runner/bert_weights.hpp"
#include "runner/e5_pack.hpp"
#include "runner/safetensors.hpp"
#include "runner/wordpiece.hpp"

namespace knap::models::runner {
namespace {

/// What a model's folder holds, in whichever form.
struct BertModel {
  BertConfig config;
  std::unique_ptr<const TensorSource> weights;
  std::shared_ptr<const Tokenizer> tokenizer;

  static Result<BertModel> open(const std::filesystem::path& dir) {
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
};

class BertEmbedEngine final : public EmbedEngine {
 public:
  BertEmbedEngine(const Options& options, BertModel model, EmbeddingTable table)
      : max_tokens_(options.max_tokens), model_(std::move(model)), table_(std::move(table)) {}

  Status make_encoder(const Options& options) {
    BertEncoder::Options encoder{.precision = options.precision,
                                 .max_tokens = options.max_tokens,
                                 .streams = options.streams,
                                 .interactive_threads = options.interactive_threads,
                                 .pad_id = model_.tokenizer->pad_id()};
    if (options.precision == Precision::kInt8Plain) {
      auto plain = make_int8_encoder(model_.config, *model_.weights, table_, encoder);
      if (plain) {
        encoder_ = *std::move(plain);
        return {};
      }
      // Models of odd sizes run too, exactly and slower.
      if (plain.error().code != ErrorCode::kUnsupported) return std::move(plain).error();
      encoder.precision = Precision::kF32;
    }
    KNAP_TRY(encoder_, make_openvino_encoder(model_.config, *model_.weights, table_, encoder));
    return {};
  }

  std::size_t dimensions() const override { return model_.config.hidden; }
  std::size_t max_tokens() const override { return max_tokens_; }

  std::vector<std::int32_t> tokenize(std::string_view text) const override {
    return model_.tokenizer->encode(text, max_tokens_).ids;
  }

  Status run(std::span<const std::vector<std::int32_t>* const> texts, std::span<float> out,
             Lane lane) override {
    return encoder_->encode(texts, out, lane);
  }

 private:
  const std::size_t max_tokens_;
  const BertModel model_;  // table_ and the encoder point into it
  const EmbeddingTable table_;
  std::unique_ptr<BertEncoder> encoder_;
};

}  // namespace

Result<std::unique_ptr<EmbedEngine>> EmbedEngine::open(const Options& options) {
  KNAP_TRY(BertModel model, BertModel::open(options.model_dir));
  if (options.max_tokens < 2 || options.max_tokens > model.config.positions) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("the window of {} tokens is not from 2 to {}", options.max_tokens,
                                  model.config.positions));
  }
  KNAP_TRY(auto table, EmbeddingTable::open(model.config, *model.weights, options.max_tokens));
  auto engine = std::make_unique<BertEmbedEngine>(options, std::move(model), std::move(table));
  KNAP_CHECK_OK(engine->make_encoder(options));
  return std::unique_ptr<EmbedEngine>(std::move(engine));
}

}  // namespace knap::models::runner
