#include "runner/embed_engine.hpp"

#include "runner/bert_model.hpp"

namespace knap::models::runner {
namespace {

class BertEmbedEngine final : public EmbedEngine {
 public:
  BertEmbedEngine(const Options& options, BertModel model, EmbeddingTable table)
      : max_tokens_(options.max_tokens), model_(std::move(model)), table_(std::move(table)) {}

  Status make_encoder(const Options& options) {
    KNAP_TRY(encoder_, model_.encoder(table_, {.precision = options.precision,
                                               .max_tokens = options.max_tokens,
                                               .streams = options.streams,
                                               .interactive_threads = options.interactive_threads,
                                               .output = options.output}));
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
  KNAP_TRY(auto table, model.table(options.max_tokens));
  auto engine = std::make_unique<BertEmbedEngine>(options, std::move(model), std::move(table));
  KNAP_CHECK_OK(engine->make_encoder(options));
  return std::unique_ptr<EmbedEngine>(std::move(engine));
}

}  // namespace knap::models::runner
