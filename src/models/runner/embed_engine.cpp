#include "runner/embed_engine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <openvino/openvino.hpp>

#include "knap/base/assert.hpp"
#include "knap/base/mutex.hpp"
#include "runner/bert_config.hpp"
#include "runner/bert_graph.hpp"
#include "runner/safetensors.hpp"
#include "runner/wordpiece.hpp"

namespace knap::models::runner {
namespace {

// Added to the scores of padding before softmax. Finite and within bf16 and f16: minus infinity
// would make a row of padding alone into NaN.
constexpr float kMasked = -10'000.0F;

/// Looks up word, position and type vectors and normalises their sum. Done here and not in the
/// graph: it is a copy, and the table (half of the model) stays in the mapped file, shared by all
/// streams and never quantised.
class EmbeddingTable {
 public:
  static Result<EmbeddingTable> open(const BertConfig& config, const Safetensors& weights,
                                     std::size_t positions) {
    EmbeddingTable table;
    table.hidden_ = config.hidden;
    table.epsilon_ = config.norm_epsilon;
    const std::vector<std::size_t> words_shape{config.vocabulary, config.hidden};
    const std::string words = "embeddings.word_embeddings.weight";
    auto mapped = weights.map(words, words_shape);
    if (mapped) {
      table.words_ = *mapped;
    } else {
      KNAP_TRY(table.owned_words_, weights.read(words, words_shape));
      table.words_ = table.owned_words_;
    }
    KNAP_TRY(const auto position_rows,
             weights.read("embeddings.position_embeddings.weight",
                          std::vector<std::size_t>{config.positions, config.hidden}));
    KNAP_TRY(const auto types, weights.read("embeddings.token_type_embeddings.weight",
                                            std::vector<std::size_t>{config.types, config.hidden}));
    table.offsets_.resize(positions * config.hidden);  // every text is of type 0
    for (std::size_t i = 0; i < table.offsets_.size(); ++i) {
      table.offsets_[i] = position_rows[i] + types[i % config.hidden];
    }
    const std::vector<std::size_t> row{config.hidden};
    KNAP_TRY(table.gain_, weights.read("embeddings.LayerNorm.weight", row));
    KNAP_TRY(table.bias_, weights.read("embeddings.LayerNorm.bias", row));
    return table;
  }

  void look_up(std::int32_t id, std::size_t position, float* out) const {
    const float* word = words_.data() + static_cast<std::size_t>(id) * hidden_;
    const float* offset = offsets_.data() + position * hidden_;
    float sum = 0;
    for (std::size_t i = 0; i < hidden_; ++i) {
      out[i] = word[i] + offset[i];
      sum += out[i];
    }
    const float mean = sum / static_cast<float>(hidden_);
    float squares = 0;
    for (std::size_t i = 0; i < hidden_; ++i) squares += (out[i] - mean) * (out[i] - mean);
    const float scale = 1.0F / std::sqrt(squares / static_cast<float>(hidden_) + epsilon_);
    for (std::size_t i = 0; i < hidden_; ++i)
      out[i] = (out[i] - mean) * scale * gain_[i] + bias_[i];
  }

 private:
  std::size_t hidden_ = 0;
  float epsilon_ = 0;
  std::span<const float> words_;
  std::vector<float> owned_words_, offsets_, gain_, bias_;
};

// Values that share one scale when activations are quantised. Measured on MiniLM (AVX-512,
// tokens/s): 32 4,088; 64 4,858; 128 5,515; 384 5,663. It must be a multiple of 16 and divide the
// rows of all products, as the hidden size does in this family; otherwise the plugin falls back to
// unquantised activations.
ov::AnyMap compile_settings(Precision precision, std::size_t hidden, std::size_t threads) {
  const bool bf16 = precision == Precision::kBf16 || precision == Precision::kInt8Bf16;
  const bool int8 = precision == Precision::kInt8 || precision == Precision::kInt8Bf16;
  ov::AnyMap settings;
  settings.emplace(ov::inference_num_threads(static_cast<std::int32_t>(threads)));
  settings.emplace(ov::num_streams(1));
  settings.emplace(ov::hint::inference_precision(bf16 ? ov::element::bf16 : ov::element::f32));
  settings.emplace(ov::hint::enable_cpu_pinning(false));
  settings.emplace(ov::hint::dynamic_quantization_group_size(int8 ? hidden : 0));
  return settings;
}

/// Requests lent to the callers, one each.
class RequestPool {
 public:
  ov::InferRequest take() KNAP_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (free_.empty()) returned_.wait(mutex_);
    ov::InferRequest request = std::move(free_.back());
    free_.pop_back();
    return request;
  }
  void give(ov::InferRequest request) KNAP_EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      free_.push_back(std::move(request));
    }
    returned_.notify_one();
  }

 private:
  Mutex mutex_;
  CondVar returned_;
  std::vector<ov::InferRequest> free_ KNAP_GUARDED_BY(mutex_);
};

class OpenVinoEmbedEngine final : public EmbedEngine {
 public:
  OpenVinoEmbedEngine(const Options& options, BertConfig config,
                      std::unique_ptr<Safetensors> weights, Wordpiece tokenizer,
                      EmbeddingTable table)
      : options_(options),
        config_(config),
        weights_(std::move(weights)),
        tokenizer_(std::move(tokenizer)),
        table_(std::move(table)) {}

  void compile(const std::shared_ptr<ov::Model>& model) {
    // One compiled model for each call that may run at a time, one of them for interactive calls
    // alone. A model of one stream computes on the thread that calls, whose priority then counts;
    // one model of several streams would compute on threads of its own. It costs a copy of the
    // encoder's weights each (11 MB in int8).
    for (std::size_t i = 0; i <= options_.streams; ++i) {
      const std::size_t threads = i == 0 ? options_.interactive_threads : 1;
      compiled_.push_back(core_.compile_model(
          model, "CPU", compile_settings(options_.precision, config_.hidden, threads)));
      (i == 0 ? interactive_requests_ : background_requests_)
          .give(compiled_.back().create_infer_request());
    }
  }

  std::size_t dimensions() const override { return config_.hidden; }
  std::size_t max_tokens() const override { return options_.max_tokens; }

  std::vector<std::int32_t> tokenize(std::string_view text) const override {
    return tokenizer_.encode(text, options_.max_tokens).ids;
  }

  Status run(std::span<const std::vector<std::int32_t>* const> texts, std::span<float> out,
             Lane lane) override {
    KNAP_ASSERT(!texts.empty() && out.size() == texts.size() * config_.hidden);
    RequestPool& pool = lane == Lane::kInteractive ? interactive_requests_ : background_requests_;
    ov::InferRequest request = pool.take();
    Status status;
    try {
      infer(request, texts, out);
    } catch (const std::exception& failure) {
      status = make_error(ErrorCode::kInternal, fmt::format("OpenVINO: {}", failure.what()));
    }
    pool.give(std::move(request));
    return status;
  }

 private:
  void infer(ov::InferRequest& request, std::span<const std::vector<std::int32_t>* const> texts,
             std::span<float> out) const {
    std::size_t longest = 0;
    for (const auto* text : texts) longest = std::max(longest, text->size());
    KNAP_ASSERT(longest > 0 && longest <= options_.max_tokens);
    ov::Tensor hidden = request.get_tensor("hidden");
    ov::Tensor mask = request.get_tensor("mask");
    hidden.set_shape({texts.size(), longest, config_.hidden});
    mask.set_shape({texts.size(), 1, 1, longest});
    auto* hidden_values = hidden.data<float>();
    auto* mask_values = mask.data<float>();
    for (std::size_t t = 0; t < texts.size(); ++t) {
      const auto& ids = *texts[t];
      for (std::size_t i = 0; i < longest; ++i) {
        const bool real = i < ids.size();
        table_.look_up(real ? ids[i] : tokenizer_.pad_id(), i,
                       hidden_values + (t * longest + i) * config_.hidden);
        mask_values[t * longest + i] = real ? 0.0F : kMasked;
      }
    }
    request.infer();
    pool_rows(request.get_output_tensor().data<const float>(), longest, texts, out);
  }

  // Mean over the text's own tokens, then unit length.
  void pool_rows(const float* states, std::size_t longest,
                 std::span<const std::vector<std::int32_t>* const> texts,
                 std::span<float> out) const {
    const std::size_t hidden = config_.hidden;
    std::ranges::fill(out, 0.0F);
    for (std::size_t t = 0; t < texts.size(); ++t) {
      float* row = out.data() + t * hidden;
      for (std::size_t i = 0; i < texts[t]->size(); ++i) {
        const float* state = states + (t * longest + i) * hidden;
        for (std::size_t d = 0; d < hidden; ++d) row[d] += state[d];
      }
      float squares = 0;
      for (std::size_t d = 0; d < hidden; ++d) squares += row[d] * row[d];
      const float scale = squares > 0 ? 1.0F / std::sqrt(squares) : 0.0F;
      for (std::size_t d = 0; d < hidden; ++d) row[d] *= scale;
    }
  }

  const Options options_;
  const BertConfig config_;
  const std::unique_ptr<Safetensors> weights_;  // table_ points into it
  const Wordpiece tokenizer_;
  const EmbeddingTable table_;
  ov::Core core_;
  std::vector<ov::CompiledModel> compiled_;
  RequestPool background_requests_, interactive_requests_;
};

}  // namespace

Result<std::unique_ptr<EmbedEngine>> EmbedEngine::open(const Options& options) {
  const auto& dir = options.model_dir;
  KNAP_TRY(const BertConfig config, read_bert_config(dir / "config.json"));
  if (options.max_tokens < 2 || options.max_tokens > config.positions) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("the window of {} tokens is not from 2 to {}", options.max_tokens,
                                  config.positions));
  }
  KNAP_TRY(auto tokenizer, Wordpiece::open(dir / "vocab.txt"));
  if (tokenizer.size() > config.vocabulary) {
    return make_error(ErrorCode::kCorruptData,
                      "vocab.txt has more pieces than the model has vectors");
  }
  KNAP_TRY(auto weights, Safetensors::open(dir / "model.safetensors"));
  KNAP_TRY(auto table, EmbeddingTable::open(config, *weights, options.max_tokens));
  KNAP_TRY(const auto graph, build_bert_encoder(config, *weights, options.precision));
  try {
    auto engine = std::make_unique<OpenVinoEmbedEngine>(options, config, std::move(weights),
                                                        std::move(tokenizer), std::move(table));
    engine->compile(graph);
    return std::unique_ptr<EmbedEngine>(std::move(engine));
  } catch (const std::exception& failure) {
    return make_error(ErrorCode::kInternal,
                      fmt::format("OpenVINO cannot run this model: {}", failure.what()));
  }
}

}  // namespace knap::models::runner
