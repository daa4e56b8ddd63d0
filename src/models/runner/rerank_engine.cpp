#include "runner/rerank_engine.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "knap/base/assert.hpp"
#include "runner/bert_model.hpp"

namespace knap::models::runner {
namespace {

/// What stands on top of the encoder: a layer with tanh over the first token's state, and one
/// product that gives the logit.
struct Head {
  std::vector<float> pooler, pooler_bias;  ///< [hidden, hidden], [hidden]
  std::vector<float> classifier;           ///< [hidden]
  float classifier_bias = 0;

  static Result<Head> read(const BertConfig& config, const TensorSource& weights) {
    const std::size_t size = config.hidden;
    Head head;
    KNAP_TRY(head.pooler, read_bert_tensor(weights, "pooler.dense.weight", {size, size}));
    KNAP_TRY(head.pooler_bias, read_bert_tensor(weights, "pooler.dense.bias", {size}));
    KNAP_TRY(head.classifier, weights.read("classifier.weight", std::vector<std::size_t>{1, size}));
    KNAP_TRY(const auto bias, weights.read("classifier.bias", std::vector<std::size_t>{1}));
    head.classifier_bias = bias.front();
    return head;
  }

  float logit(std::span<const float> state) const {
    float sum = classifier_bias;
    for (std::size_t row = 0; row < state.size(); ++row) {
      const float* weights = pooler.data() + row * state.size();
      sum += classifier[row] *
             std::tanh(std::inner_product(state.begin(), state.end(), weights, pooler_bias[row]));
    }
    return sum;
  }
};

class BertRerankEngine final : public RerankEngine {
 public:
  BertRerankEngine(std::size_t max_tokens, BertModel model, EmbeddingTable table, Head head)
      : max_tokens_(max_tokens),
        model_(std::move(model)),
        table_(std::move(table)),
        head_(std::move(head)),
        end_id_(model_.tokenizer->encode("", 2).ids.back()) {}

  Status make_encoder(const Options& options) {
    KNAP_TRY(encoder_, model_.encoder(table_, {.precision = options.precision,
                                               .max_tokens = options.max_tokens,
                                               .streams = options.streams,
                                               .interactive_threads = options.interactive_threads,
                                               .output = Output::kFirstState,
                                               .pair_end_id = end_id_}));
    return {};
  }

  std::size_t max_tokens() const override { return max_tokens_; }

  std::vector<std::int32_t> tokenize(std::string_view question,
                                     std::string_view text) const override {
    std::vector<std::int32_t> ids = model_.tokenizer->encode(question, max_tokens_ / 2).ids;
    // The text's own begin token has no place in a pair.
    const auto second = model_.tokenizer->encode(text, max_tokens_ - ids.size() + 1).ids;
    ids.insert(ids.end(), second.begin() + 1, second.end());
    return ids;
  }

  Status run(std::span<const std::vector<std::int32_t>* const> pairs, std::span<float> out,
             Lane lane) override {
    KNAP_ASSERT(pairs.size() == out.size());
    const std::size_t size = model_.config.hidden;
    std::vector<float> states(pairs.size() * size);
    KNAP_CHECK_OK(encoder_->encode(pairs, states, lane));
    for (std::size_t i = 0; i < pairs.size(); ++i)
      out[i] = head_.logit(std::span(states).subspan(i * size, size));
    if (std::ranges::all_of(out, [](float value) { return std::isfinite(value); })) return {};
    return make_error(ErrorCode::kCorruptData,
                      "the model's weights give scores that are no finite numbers");
  }

 private:
  const std::size_t max_tokens_;
  const BertModel model_;  // table_ and the encoder point into it
  const EmbeddingTable table_;
  const Head head_;
  const std::int32_t end_id_;
  std::unique_ptr<BertEncoder> encoder_;
};

}  // namespace

Result<std::unique_ptr<RerankEngine>> RerankEngine::open(const Options& options) {
  constexpr std::size_t kWindowMin = 8;
  KNAP_TRY(BertModel model, BertModel::open(options.model_dir));
  if (options.max_tokens < kWindowMin)
    return make_error(ErrorCode::kInvalidArgument, "the window is too short for pairs");
  KNAP_TRY(auto table, model.table(options.max_tokens));
  if (!table.has_pairs())
    return make_error(ErrorCode::kUnsupported, "the model does not tell two texts apart");
  KNAP_TRY(auto head, Head::read(model.config, *model.weights));
  auto engine = std::make_unique<BertRerankEngine>(options.max_tokens, std::move(model),
                                                   std::move(table), std::move(head));
  KNAP_CHECK_OK(engine->make_encoder(options));
  return std::unique_ptr<RerankEngine>(std::move(engine));
}

}  // namespace knap::models::runner
